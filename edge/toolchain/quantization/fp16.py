"""Rewrite an FP32 graph in mixed half precision with explicit types; inputs and outputs stay.

Every version of TensorRT builds such a file without a precision flag. Graphs with QuantizeLinear
and DequantizeLinear nodes are taken too: their float parts become half.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, defs, helper

from edge.errors import PrecisionError
from edge.toolchain.quantization.fp32_islands import single_precision_nodes
from edge.toolchain.quantization.graph import Graph, attribute, element_types, make_node
from edge.toolchain.quantization.parameters import LEAST_HALF_SCALE

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert a checked FP32 model, with or without QuantizeLinear and DequantizeLinear nodes.

    Norms, sums, softmax, the frame's normalisation and the computation of map and score stay
    in FP32, see fp32_islands.py. A tensor is cast at most once to each type.

    Raises:
        PrecisionError: a type cannot be inferred, a node has a subgraph, a scale would vanish.
    """
    graph = Graph(model)
    _check_scales(graph)
    conversion = _Conversion(graph, element_types(graph.model))
    conversion.run()
    return graph.checked()


class _Conversion:
    """The conversion of one graph."""

    def __init__(self, graph: Graph, types: dict[str, int]):
        self._graph, self._types = graph, types
        self._kept = single_precision_nodes(graph)
        self._version = next(x.version for x in graph.model.opset_import if not x.domain)
        self._nodes: list[onnx.NodeProto] = []
        self._casts: dict[tuple[str, int], str] = {}

    def run(self) -> None:
        """Convert every node of the graph."""
        for node in self._graph.nodes:
            if any(entry.HasField("g") or entry.graphs for entry in node.attribute):
                raise PrecisionError(f"{node.name}: {node.op_type} with a graph of its own")
            schema = defs.get_schema(node.op_type, self._version, node.domain)
            self._convert(node, schema, self._wanted(node, schema))
        for name in self._graph.outputs:
            self._restore(name)
        self._graph.rewrite(self._nodes)

    def _wanted(self, node: onnx.NodeProto, schema: defs.OpSchema) -> int:
        if node.op_type == "QuantizeLinear":
            # Its output is integer: a cast before it would only round twice.
            return self._types[node.input[0]]
        is_half = node.name not in self._kept and _takes_half(schema, node)
        return HALF if is_half else FLOAT

    def _convert(self, node: onnx.NodeProto, schema: defs.OpSchema, wanted: int) -> None:
        for place, name in enumerate(node.input):
            if name and self._is_float(name) and _may_be_half(schema, place):
                node.input[place] = self._as(name, wanted)
        if node.op_type == "Cast" and attribute(node, "to") == FLOAT:
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("to", wanted))
        for name in node.output:
            if name and self._is_float(name):
                self._types[name] = wanted
        self._nodes.append(node)

    def _as(self, name: str, wanted: int) -> str:
        """Return tensor or constant `name` in the wanted type."""
        if self._types[name] == wanted:
            return name
        key = (name, wanted)
        if key not in self._casts:
            self._casts[key] = self._cast(name, wanted)
        return self._casts[key]

    def _cast(self, name: str, wanted: int) -> str:
        suffix = "half" if wanted == HALF else "float"
        if self._graph.is_constant(name):
            # A copy: another node may read the constant in FP32.
            half = self._graph.constant(name).astype(np.float16)
            return self._graph.add_constant(f"{name}_{suffix}", half)
        output = self._graph.new_name(f"{name}_{suffix}")
        self._nodes.append(make_node("Cast", [name], output, to=wanted))
        return output

    def _restore(self, name: str) -> None:
        """Cast a graph output back to FP32."""
        if self._types[name] != HALF:
            return
        inner = self._graph.new_name(f"{name}_half")
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [inner if entry == name else entry for entry in names]
        self._nodes.append(make_node("Cast", [inner], name, to=FLOAT))

    def _is_float(self, name: str) -> bool:
        return self._types[name] in {FLOAT, HALF}


def _takes_half(schema: defs.OpSchema, node: onnx.NodeProto) -> bool:
    """Return whether the operator is defined for half precision."""
    return any(_may_be_half(schema, place) for place in range(len(node.input)))


def _may_be_half(schema: defs.OpSchema, place: int) -> bool:
    """Return whether an input may be half; the scales of a Resize, for example, are always FP32."""
    formal = schema.inputs[min(place, len(schema.inputs) - 1)]
    return "tensor(float16)" in formal.types


def _check_scales(graph: Graph) -> None:
    for node in graph.nodes:
        if node.op_type not in {"QuantizeLinear", "DequantizeLinear"}:
            continue
        least = float(graph.constant(node.input[1]).min())
        if least < LEAST_HALF_SCALE:
            raise PrecisionError(
                f"{node.name}: expected scales of at least {LEAST_HALF_SCALE:.2g}, which survive "
                f"half precision, found {least:.2g}; quantize in the form trt"
            )
