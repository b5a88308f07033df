"""Find the layers of a graph that have constant weights and are large enough for INT8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from edge.toolchain.quantization.graph import Graph, attribute, tensor_shapes

# Fewer outputs, or terms of a sum, fill no INT8 kernel.
LEAST_WIDTH = 8
# A smaller matrix product takes less time than the quantization of its input. Convolutions form
# chains: one left out costs two conversions.
LEAST_PRODUCTS = 500_000


@dataclass(frozen=True, slots=True)
class Layer:
    """One Conv, MatMul or Gemm whose second input is a constant.

    Attributes:
        node: name of its node.
        label: module path in the trained model, if the graph still has it.
        axis: of the weight, along which its output channels lie.
        bias: constant of its third input, or None.
    """

    node: str
    label: str
    op: str
    input: str
    weight: str
    axis: int
    bias: str | None


def weighted_layers(graph: Graph) -> list[Layer]:
    """Return the layers in order of computation, without products of two activations."""
    shapes = tensor_shapes(graph.model)
    found = []
    for node in graph.nodes:
        if node.op_type not in {"Conv", "MatMul", "Gemm"} or not graph.is_constant(node.input[1]):
            continue
        layer = _layer(graph, node)
        weight = graph.constant(layer.weight)
        outputs = weight.shape[layer.axis]
        terms = weight.size // outputs
        products = _size(shapes[node.output[0]]) * terms
        if weight.dtype != np.float32 or min(outputs, terms) < LEAST_WIDTH:
            continue
        if node.op_type != "Conv" and (weight.ndim != 2 or products < LEAST_PRODUCTS):
            continue
        found.append(layer)
    return found


def _layer(graph: Graph, node: onnx.NodeProto) -> Layer:
    axis = 0 if node.op_type == "Conv" or attribute(node, "transB", 0) else 1
    bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
    return Layer(
        node=node.name,
        label=_label(graph, node),
        op=node.op_type,
        input=node.input[0],
        weight=node.input[1],
        axis=axis,
        bias=bias,
    )


def _label(graph: Graph, node: onnx.NodeProto) -> str:
    """Module path from the name of the weight or, where the exporter folded that, of the bias."""
    names = [node.input[1]]
    reader = graph.only_reader(node.output[0])
    if reader is not None and reader.op_type == "Add":
        names += [name for name in reader.input if graph.is_constant(name)]
    path = next((name for name in names if "." in name), node.name)
    return path.removesuffix(".weight").removesuffix(".bias")


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))
