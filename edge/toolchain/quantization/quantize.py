"""Calibrate the layers of a graph, and quantize some of them to 8 bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from edge.toolchain.quantization.activation_ranges import activation_ranges
from edge.toolchain.quantization.first_convolution import widen_stem
from edge.toolchain.quantization.graph import Graph
from edge.toolchain.quantization.input_transpose import transpose_bytes
from edge.toolchain.quantization.layers import Layer, weighted_layers
from edge.toolchain.quantization.parameters import (
    LEAST_HALF_SCALE,
    QuantizationParameters,
    QuantizedWeight,
    along,
    least_scale_for,
    round_to_nearest,
    signed_parameters,
    unsigned_parameters,
    weight_scales,
)
from edge.toolchain.quantization.qdq import insert_qdq, make_plan
from edge.toolchain.quantization.settings import Int8Settings
from edge.toolchain.quantization.upsampling import upsample_by_matmul
from edge.toolchain.quantization.weight_rounding import (
    Moments,
    input_moments,
    mean_error,
    round_weight,
)

Frames = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Quantization parameters and weights of all layers that can be quantized."""

    model: onnx.ModelProto
    settings: Int8Settings
    layers: tuple[Layer, ...]
    activations: dict[str, QuantizationParameters]
    weights: dict[str, QuantizedWeight]


def calibrate(model: onnx.ModelProto, frames: Frames, settings: Int8Settings) -> Calibration:
    """Measure ranges and round weights of an FP32 model with one uint8 input (1, H, W, 3).

    `frames` are (n, H, W, 3) uint8 RGB network inputs of good parts.

    Raises:
        PrecisionError: there are no frames, or the graph does not run on them.
    """
    graph = Graph(model)
    if settings.form == "cpu":
        transpose_bytes(graph)
        upsample_by_matmul(graph)
    layers = weighted_layers(graph)
    plan = make_plan(graph, layers, settings.form)
    ranges = activation_ranges(
        graph.model,
        plan.tensors,
        frames,
        settings.calibrator,
        settings.percentile,
        symmetric=settings.form == "trt",
    )
    parameters = unsigned_parameters if settings.form == "cpu" else signed_parameters
    activations = {name: parameters(*limits) for name, limits in ranges.items()}
    if plan.pixels:
        activations[plan.pixels.tensor] = plan.pixels.parameters
    moments = input_moments(graph.model, layers, frames)
    weights = {
        layer.node: _quantized_weight(graph, layer, activations, moments.get(layer.node), settings)
        for layer in layers
    }
    return Calibration(graph.model, settings, tuple(layers), activations, weights)


def quantized_graph(calibration: Calibration, layers: Sequence[Layer]) -> onnx.ModelProto:
    """Return the calibrated graph with `layers` in 8 bits.

    Raises:
        PrecisionError: the result is not a valid graph.
    """
    graph = Graph(calibration.model)
    form = calibration.settings.form
    insert_qdq(graph, layers, calibration.activations, calibration.weights, form)
    if form == "cpu":
        widen_stem(graph)
    return graph.checked()


def _quantized_weight(
    graph: Graph,
    layer: Layer,
    activations: dict[str, QuantizationParameters],
    moments: Moments | None,
    settings: Int8Settings,
) -> QuantizedWeight:
    weight = np.asarray(graph.constant(layer.weight), np.float32)
    bias = None if layer.bias is None else np.asarray(graph.constant(layer.bias), np.float32)
    largest = settings.largest_value
    least: NDArray[np.float32] | float = LEAST_HALF_SCALE if settings.form == "trt" else 0.0
    if bias is not None and settings.form == "cpu":
        least = least_scale_for(bias, activations[layer.input].scale)
    scales = weight_scales(weight, layer.axis, largest, least)
    if moments is None:
        values = round_to_nearest(weight, scales, layer.axis, largest)
    else:
        values = round_weight(weight, scales, moments, largest)
        if bias is not None:
            rounded = values * along(scales, layer.axis, weight.ndim)
            bias = bias - mean_error(weight, rounded, moments)
    return QuantizedWeight(values.astype(np.int8), scales, bias)
