"""Insert QuantizeLinear and DequantizeLinear around layers, in the form that suits a runtime.

ONNX Runtime compiles the form `cpu` to QLinearConv and MatMulIntegerToFloat. Activations are uint8
with a zero point. Outputs of convolutions are quantized too, so that a whole backbone stays in 8
bits, residual sums included. The form `trt` is for TensorRT: inputs and weights of the layers are
int8 and symmetric, biases are float. In both forms all other nodes read float tensors.

Names of new tensors are part of a bundle's hashes and stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx

from edge.toolchain.quantization.graph import Array, Graph, make_node
from edge.toolchain.quantization.input_pixels import PixelQuantization, pixel_quantization
from edge.toolchain.quantization.layers import Layer
from edge.toolchain.quantization.parameters import (
    QuantizationParameters,
    QuantizedWeight,
    quantize_bias,
)
from edge.toolchain.quantization.settings import Form


@dataclass(slots=True)
class Plan:
    """Tensors to be quantized.

    Attributes:
        shared: quantized for all readers, with the name of the producer of each. These are outputs
            of convolutions, after their activation, and sums of such outputs.
        own: quantized for the chosen layers alone.
        pixels: the frame's own bytes, if the first layer reads them shifted and scaled.
        dropped: names of nodes that quantization makes superfluous.
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
    """Find the tensors that must be quantized for `layers`."""
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

    `activations` has parameters for every tensor in the plan of `layers`; `weights` has the weight
    of every layer by node.
    """
    insertion = _Insertion(graph, make_plan(graph, layers, form), activations, form)
    insertion.run({layer.node: layer for layer in layers}, weights)


def _plan_chain(graph: Graph, layers: Sequence[Layer], plan: Plan) -> None:
    convolutions = {layer.node: layer for layer in layers if layer.op == "Conv"}
    for node in graph.nodes:
        output = node.output[0]
        if node.name in convolutions:
            plan.pixels = plan.pixels or pixel_quantization(graph, node.input[0])
            reader = graph.only_reader(output)
            if reader is not None and _is_activation(graph, reader):
                # The range of the quantized values has its bounds: quantization clips.
                plan.dropped.add(reader.name)
                output = reader.output[0]
            plan.shared[output] = node.name
        elif node.op_type == "Add" and all(name in plan.shared for name in node.input):
            plan.shared[output] = node.name
    if plan.pixels:
        plan.dropped.add(plan.pixels.node)


def _is_activation(graph: Graph, node: onnx.NodeProto) -> bool:
    if node.op_type == "Relu":
        return True
    if node.op_type != "Clip" or not all(graph.is_constant(name) for name in node.input[1:]):
        return False
    return len(node.input) > 1 and float(graph.constant(node.input[1])) == 0


class _Insertion:
    """The insertion into one graph."""

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        activations: Mapping[str, QuantizationParameters],
        form: Form,
    ):
        self._graph, self._plan, self._form = graph, plan, form
        self._activations = activations
        self._nodes: list[onnx.NodeProto] = []
        # What a layer reads in place of its input.
        self._dequantized = {name: name for name in plan.shared}

    def run(self, layers: Mapping[str, Layer], weights: Mapping[str, QuantizedWeight]) -> None:
        """Insert all nodes and rewrite the graph."""
        pixels = self._plan.pixels
        if pixels:
            self._dequantized[pixels.tensor] = pixels.tensor
            self._dequantize(pixels.source, pixels.tensor, pixels.parameters)
        made = {producer: name for name, producer in self._plan.shared.items()}
        for node in self._graph.nodes:
            if node.name in self._plan.dropped:
                continue
            if node.name in layers:
                self._quantize_layer(node, layers[node.name], weights[node.name])
            self._nodes.append(node)
            if node.name in made:
                name = made[node.name]
                node.output[0] = self._graph.new_name(f"{name}_float")
                self._dequantize(
                    self._quantize(node.output[0], name), name, self._activations[name]
                )
        self._graph.rewrite(self._nodes)

    def _quantize_layer(self, node: onnx.NodeProto, layer: Layer, weight: QuantizedWeight) -> None:
        node.input[0] = self._dequantized_input(layer.input)
        node.input[1] = self._constant(layer.weight, weight.values, weight.scales, layer.axis)
        if layer.bias is None or weight.bias is None:
            return
        if self._form == "trt":
            node.input[2] = self._graph.add_constant(f"{layer.bias}_corrected", weight.bias)
            return
        scales = weight.scales * self._activations[layer.input].scale
        node.input[2] = self._constant(layer.bias, quantize_bias(weight.bias, scales), scales, 0)

    def _dequantized_input(self, name: str) -> str:
        """Return the tensor of `name` after quantization and dequantization; made once."""
        if name not in self._dequantized:
            output = self._graph.new_name(f"{name}_decoded")
            self._dequantize(self._quantize(name, name), output, self._activations[name])
            self._dequantized[name] = output
        return self._dequantized[name]

    def _quantize(self, source: str, name: str) -> str:
        output = self._graph.new_name(f"{name}_codes")
        inputs = [source, *self._constants(name, self._activations[name])]
        self._nodes.append(make_node("QuantizeLinear", inputs, output))
        return output

    def _dequantize(self, source: str, output: str, parameters: QuantizationParameters) -> None:
        inputs = [source, *self._constants(output, parameters)]
        self._nodes.append(make_node("DequantizeLinear", inputs, output))

    def _constants(self, name: str, parameters: QuantizationParameters) -> list[str]:
        add = self._graph.add_constant
        return [
            add(f"{name}_scale", np.asarray(parameters.scale)),
            add(f"{name}_zero_point", np.asarray(parameters.zero_point)),
        ]

    def _constant(self, name: str, values: Array, scales: Array, axis: int) -> str:
        """Store a quantized constant and return the tensor of its dequantization."""
        add, output = self._graph.add_constant, self._graph.new_name(f"{name}_decoded")
        inputs = [
            add(f"{name}_codes", values),
            add(f"{name}_scale", scales),
            add(f"{name}_zero_point", np.zeros(scales.shape, values.dtype)),
        ]
        self._nodes.append(make_node("DequantizeLinear", inputs, output, axis=axis))
        return output
