"""Insert quantise/dequantise nodes around chosen layers, in the form each runtime is fast with.

`cpu` is what ONNX Runtime turns into QLinearConv and MatMulIntegerToFloat: uint8 activations with a
zero point; a convolution's output is coded too, so that a whole backbone stays in 8 bits, residual
sums included. `trt` is what TensorRT takes: int8 symmetric, inputs and weights of the layers only,
float bias. In both, everything else keeps reading the float tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx

from edge.toolchain.quantization.graph import Array, Graph, make_node
from edge.toolchain.quantization.input_pixels import PixelQuantization, pixel_codes
from edge.toolchain.quantization.layers import Layer
from edge.toolchain.quantization.parameters import (
    QuantizationParameters,
    QuantizedWeight,
    code_bias,
)
from edge.toolchain.quantization.settings import Form


@dataclass(slots=True)
class Plan:
    """Tensors to be coded.

    Attributes:
        shared: coded for everyone who reads them, with the name of the node that makes each:
            outputs of convolutions, behind their rectifier, and sums of such.
        own: coded for the chosen layers alone.
        pixels: the frame's own codes, where the first layer reads plainly scaled pixels.
        dropped: nodes that coding makes superfluous, by name.
    """

    shared: dict[str, str] = field(default_factory=dict)
    own: list[str] = field(default_factory=list)
    pixels: PixelQuantization | None = None
    dropped: set[str] = field(default_factory=set)

    @property
    def tensors(self) -> list[str]:
        """Tensors whose ranges must be measured."""
        return [*self.shared, *self.own]


def make_plan(graph: Graph, layers: Sequence[Layer], form: Form) -> Plan:
    """Find what must be coded for `layers`."""
    plan = Plan()
    if form == "cpu":
        _plan_chain(graph, layers, plan)
    known = {*plan.shared, plan.pixels.tensor if plan.pixels else ""}
    plan.own = list(dict.fromkeys(layer.input for layer in layers if layer.input not in known))
    return plan


def insert_qdq(
    graph: Graph,
    layers: Sequence[Layer],
    activations: Mapping[str, QuantizationParameters],
    weights: Mapping[str, QuantizedWeight],
    form: Form,
) -> None:
    """Rewrite `graph` so that `layers` compute in 8 bits.

    `activations` has codes for every tensor in the plan of `layers`, `weights` those of every one
    of `layers`, by node.
    """
    insertion = _Insertion(graph, make_plan(graph, layers, form), activations, form)
    insertion.run({layer.node: layer for layer in layers}, weights)


def _plan_chain(graph: Graph, layers: Sequence[Layer], plan: Plan) -> None:
    convolutions = {layer.node: layer for layer in layers if layer.op == "Conv"}
    for node in graph.nodes:
        output = node.output[0]
        if node.name in convolutions:
            plan.pixels = plan.pixels or pixel_codes(graph, node.input[0])
            reader = graph.only_reader(output)
            if reader is not None and _is_rectifier(graph, reader):
                # Its bounds are those of the codes: the conversion itself clips.
                plan.dropped.add(reader.name)
                output = reader.output[0]
            plan.shared[output] = node.name
        elif node.op_type == "Add" and all(name in plan.shared for name in node.input):
            plan.shared[output] = node.name
    if plan.pixels:
        plan.dropped.add(plan.pixels.node)


def _is_rectifier(graph: Graph, node: onnx.NodeProto) -> bool:
    if node.op_type == "Relu":
        return True
    if node.op_type != "Clip" or not all(graph.is_constant(name) for name in node.input[1:]):
        return False
    return len(node.input) > 1 and float(graph.constant(node.input[1])) == 0


class _Insertion:
    """One rewriting of one graph."""

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        activations: Mapping[str, QuantizationParameters],
        form: Form,
    ):
        self._graph, self._plan, self._form = graph, plan, form
        self._codes = activations
        self._nodes: list[onnx.NodeProto] = []
        # What a layer reads in place of its input.
        self._decoded = {name: name for name in plan.shared}

    def run(self, layers: Mapping[str, Layer], weights: Mapping[str, QuantizedWeight]) -> None:
        """Insert everything and hand the graph its new nodes."""
        pixels = self._plan.pixels
        if pixels:
            self._decoded[pixels.tensor] = pixels.tensor
            self._decode(pixels.source, pixels.tensor, pixels.codes)
        made = {producer: name for name, producer in self._plan.shared.items()}
        for node in self._graph.nodes:
            if node.name in self._plan.dropped:
                continue
            if node.name in layers:
                self._code_layer(node, layers[node.name], weights[node.name])
            self._nodes.append(node)
            if node.name in made:
                name = made[node.name]
                node.output[0] = self._graph.new_name(f"{name}_float")
                self._decode(self._encode(node.output[0], name), name, self._codes[name])
        self._graph.rewrite(self._nodes)

    def _code_layer(self, node: onnx.NodeProto, layer: Layer, coded: QuantizedWeight) -> None:
        node.input[0] = self._through_codes(layer.input)
        node.input[1] = self._constant(layer.weight, coded.codes, coded.scales, layer.axis)
        if layer.bias is None or coded.bias is None:
            return
        if self._form == "trt":
            node.input[2] = self._graph.add_constant(f"{layer.bias}_corrected", coded.bias)
            return
        scales = coded.scales * self._codes[layer.input].scale
        node.input[2] = self._constant(layer.bias, code_bias(coded.bias, scales), scales, 0)

    def _through_codes(self, name: str) -> str:
        """Return what stands for `name` after its codes; made once."""
        if name not in self._decoded:
            decoded = self._graph.new_name(f"{name}_decoded")
            self._decode(self._encode(name, name), decoded, self._codes[name])
            self._decoded[name] = decoded
        return self._decoded[name]

    def _encode(self, source: str, name: str) -> str:
        output = self._graph.new_name(f"{name}_codes")
        inputs = [source, *self._parameters(name, self._codes[name])]
        self._nodes.append(make_node("QuantizeLinear", inputs, output))
        return output

    def _decode(self, source: str, output: str, codes: QuantizationParameters) -> None:
        inputs = [source, *self._parameters(output, codes)]
        self._nodes.append(make_node("DequantizeLinear", inputs, output))

    def _parameters(self, name: str, codes: QuantizationParameters) -> list[str]:
        add = self._graph.add_constant
        return [
            add(f"{name}_scale", np.asarray(codes.scale)),
            add(f"{name}_zero_point", np.asarray(codes.zero_point)),
        ]

    def _constant(self, name: str, codes: Array, scales: Array, axis: int) -> str:
        """Store codes and scales of a constant and return the tensor that decodes them."""
        add, output = self._graph.add_constant, self._graph.new_name(f"{name}_decoded")
        inputs = [
            add(f"{name}_codes", codes),
            add(f"{name}_scale", scales),
            add(f"{name}_zero_point", np.zeros(scales.shape, codes.dtype)),
        ]
        self._nodes.append(make_node("DequantizeLinear", inputs, output, axis=axis))
        return output
