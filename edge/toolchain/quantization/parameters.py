"""Quantization parameters: value = (quantized value - zero point) x scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# The smallest normal number of half precision: TensorRT refuses scales that become 0 in it.
LEAST_HALF_SCALE = 2.0**-14
# Smaller scales belong to unused channels; the product of two such would become 0.
LEAST_SCALE = 2.0**-40
# A quantized bias stays this far inside int32, so that sums on top of it cannot overflow.
LARGEST_BIAS_VALUE = 2.0**30


@dataclass(frozen=True, slots=True)
class QuantizationParameters:
    """Scale and zero point of an activation: `zero_point` is a uint8 or int8 scalar."""

    scale: np.float32
    zero_point: np.uint8 | np.int8


@dataclass(frozen=True, slots=True)
class QuantizedWeight:
    """A weight in int8 with one scale per output channel, and the float bias of its layer."""

    values: NDArray[np.int8]
    scales: Floats
    bias: Floats | None


def unsigned_parameters(low: float, high: float) -> QuantizationParameters:
    """Return uint8 parameters for a range. The range is extended to 0, so that padding is exact."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32(max((high - low) / 255, LEAST_SCALE))
    return QuantizationParameters(scale, np.uint8(np.clip(round(-low / float(scale)), 0, 255)))


def signed_parameters(low: float, high: float) -> QuantizationParameters:
    """Return int8 parameters, symmetric about 0, with a scale that half precision can hold."""
    return QuantizationParameters(
        np.float32(max(-low / 127, high / 127, LEAST_HALF_SCALE)), np.int8(0)
    )


def weight_scales(
    weight: Floats, axis: int, largest: int, least_scale: Floats | float = 0.0
) -> Floats:
    """Return the scales of a symmetric quantization up to `largest`, one per channel along `axis`.

    No scale is below `least_scale`, which is one number or one per channel.
    """
    others = tuple(i for i in range(weight.ndim) if i != axis)
    scales = np.maximum(np.abs(weight).max(others) / largest, least_scale)
    return np.maximum(scales, LEAST_SCALE).astype(np.float32)


def round_to_nearest(weight: Floats, scales: Floats, axis: int, largest: int) -> Floats:
    """Return the nearest quantized value of each weight, as floats."""
    return np.rint(weight / along(scales, axis, weight.ndim)).clip(-largest, largest)


def along(scales: Floats, axis: int, dimensions: int) -> Floats:
    """Shape scales so that they multiply a weight along `axis`."""
    return scales.reshape([-1 if i == axis else 1 for i in range(dimensions)])


def least_scale_for(bias: Floats, input_scale: np.float32) -> Floats:
    """Return the least weight scales with which a bias of scale input x weight fits int32."""
    return np.abs(bias) / (input_scale * np.float32(LARGEST_BIAS_VALUE))


def quantize_bias(bias: Floats, scales: Floats) -> NDArray[np.int32]:
    """Return a bias in int32; its scales are those of the products that it is added to."""
    return np.rint(bias.astype(np.float64) / scales).astype(np.int32)
