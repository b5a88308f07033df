"""A frame's pixels are 8-bit codes already: where they are only shifted and scaled, use them.

(x - mean) / deviation with one mean and one deviation for all channels is what codes x with zero
point `mean` and scale 1 / deviation stand for. No rounding, and no float copy of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from edge.toolchain.quantization.graph import Graph
from edge.toolchain.quantization.parameters import QuantizationParameters


@dataclass(frozen=True, slots=True)
class PixelQuantization:
    """`tensor` (float), made by `node`, is what the codes in `source` (uint8) stand for."""

    tensor: str
    node: str
    source: str
    codes: QuantizationParameters


def pixel_codes(graph: Graph, tensor: str) -> PixelQuantization | None:
    """Recognise Cast, Sub mean, Div deviation of a uint8 tensor; None for anything else."""
    divide = _maker(graph, tensor, "Div")
    subtract = _maker(graph, divide.input[0], "Sub") if divide else None
    cast = _maker(graph, subtract.input[0], "Cast") if subtract else None
    if divide is None or subtract is None or cast is None:
        return None
    deviation, mean = _level(graph, divide.input[1]), _level(graph, subtract.input[1])
    if deviation is None or mean is None or mean != round(mean) or not 0 <= mean <= 255:
        return None
    if not _is_pixels(graph, cast.input[0]):
        return None
    codes = QuantizationParameters(np.float32(1 / deviation), np.uint8(mean))
    return PixelQuantization(tensor, divide.name, cast.input[0], codes)


def _maker(graph: Graph, tensor: str, op: str) -> onnx.NodeProto | None:
    node = graph.producer(tensor)
    return node if node is not None and node.op_type == op else None


def _level(graph: Graph, name: str) -> float | None:
    """Return the one value of a constant."""
    if not graph.is_constant(name):
        return None
    values = graph.constant(name).ravel()
    return float(values[0]) if values.size and (values == values[0]).all() else None


def _is_pixels(graph: Graph, tensor: str) -> bool:
    """Say whether a tensor is the uint8 frame, at most turned."""
    turn = graph.producer(tensor)
    source = turn.input[0] if turn is not None and turn.op_type == "Transpose" else tensor
    for value in graph.model.graph.input:
        if value.name == source:
            return bool(value.type.tensor_type.elem_type == onnx.TensorProto.UINT8)
    return False
