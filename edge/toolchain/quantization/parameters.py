"""8-bit codes: value = (code - zero point) x scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# The smallest normal number of half precision: TensorRT refuses scales that become 0 in it.
LEAST_HALF_SCALE = 2.0**-14
# Smaller scales are of channels that do nothing; products of two such would vanish.
LEAST_SCALE = 2.0**-40
# Bias codes stay this far inside int32, so that sums on top of them cannot overflow.
LARGEST_BIAS_CODE = 2.0**30


@dataclass(frozen=True, slots=True)
class QuantizationParameters:
    """Scale and zero point of an activation: `zero_point` is a uint8 or int8 scalar."""

    scale: np.float32
    zero_point: np.uint8 | np.int8


@dataclass(frozen=True, slots=True)
class QuantizedWeight:
    """Weight codes int8 with one scale per output channel, and the bias that goes with them."""

    codes: NDArray[np.int8]
    scales: Floats
    bias: Floats | None


def unsigned_codes(low: float, high: float) -> QuantizationParameters:
    """uint8 codes for a range, which is made to include 0 so that padding is exact."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32(max((high - low) / 255, LEAST_SCALE))
    return QuantizationParameters(scale, np.uint8(np.clip(round(-low / float(scale)), 0, 255)))


def signed_codes(low: float, high: float) -> QuantizationParameters:
    """int8 codes symmetric about 0, with a scale that survives half precision."""
    return QuantizationParameters(
        np.float32(max(-low / 127, high / 127, LEAST_HALF_SCALE)), np.int8(0)
    )


def weight_scales(
    weight: Floats, axis: int, largest: int, least_scale: Floats | float = 0.0
) -> Floats:
    """Scales of symmetric codes up to `largest`, one per channel along `axis`.

    None is below `least_scale`, one for all channels or one for each.
    """
    others = tuple(i for i in range(weight.ndim) if i != axis)
    scales = np.maximum(np.abs(weight).max(others) / largest, least_scale)
    return np.maximum(scales, LEAST_SCALE).astype(np.float32)


def nearest_codes(weight: Floats, scales: Floats, axis: int, largest: int) -> Floats:
    """Nearest code of each weight, as floats."""
    return np.rint(weight / along(scales, axis, weight.ndim)).clip(-largest, largest)


def along(scales: Floats, axis: int, dimensions: int) -> Floats:
    """Shape scales so that they multiply a weight along `axis`."""
    return scales.reshape([-1 if i == axis else 1 for i in range(dimensions)])


def least_scale_for(bias: Floats, input_scale: np.float32) -> Floats:
    """Scales below which a channel's bias would not fit int32 codes of input x weight scale."""
    return np.abs(bias) / (input_scale * np.float32(LARGEST_BIAS_CODE))


def code_bias(bias: Floats, scales: Floats) -> NDArray[np.int32]:
    """int32 codes of a bias whose scales are those of the products it is added to."""
    return np.rint(bias.astype(np.float64) / scales).astype(np.int32)
