"""Use a frame's pixels as quantized values where a network only shifts and scales them.

(x - mean) / deviation, with one mean and one deviation for all channels, is the dequantization of x
with zero point `mean` and scale 1 / deviation. It needs no rounding and no float copy of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from edge.toolchain.quantization.graph import Graph
from edge.toolchain.quantization.parameters import QuantizationParameters


@dataclass(frozen=True, slots=True)
class PixelQuantization:
    """`tensor` (float), the output of `node`, is `source` (uint8) dequantized by `parameters`."""

    tensor: str
    node: str
    source: str
    parameters: QuantizationParameters


def pixel_quantization(graph: Graph, tensor: str) -> PixelQuantization | None:
    """Recognise Cast, Sub mean, Div deviation of a uint8 tensor; None for anything else."""
    divide = _producer(graph, tensor, "Div")
    subtract = _producer(graph, divide.input[0], "Sub") if divide else None
    cast = _producer(graph, subtract.input[0], "Cast") if subtract else None
    if divide is None or subtract is None or cast is None:
        return None
    deviation, mean = (
        _uniform_value(graph, divide.input[1]),
        _uniform_value(graph, subtract.input[1]),
    )
    if deviation is None or mean is None or mean != round(mean) or not 0 <= mean <= 255:
        return None
    if not _is_pixels(graph, cast.input[0]):
        return None
    parameters = QuantizationParameters(np.float32(1 / deviation), np.uint8(mean))
    return PixelQuantization(tensor, divide.name, cast.input[0], parameters)


def _producer(graph: Graph, tensor: str, op: str) -> onnx.NodeProto | None:
    node = graph.producer(tensor)
    return node if node is not None and node.op_type == op else None


def _uniform_value(graph: Graph, name: str) -> float | None:
    """Return the value of a constant whose elements are all equal; None for others."""
    if not graph.is_constant(name):
        return None
    values = graph.constant(name).ravel()
    return float(values[0]) if values.size and (values == values[0]).all() else None


def _is_pixels(graph: Graph, tensor: str) -> bool:
    """Return whether a tensor is the uint8 frame, transposed or not."""
    transpose = graph.producer(tensor)
    source = tensor
    if transpose is not None and transpose.op_type == "Transpose":
        source = transpose.input[0]
    for value in graph.model.graph.input:
        if value.name == source:
            return bool(value.type.tensor_type.elem_type == onnx.TensorProto.UINT8)
    return False
