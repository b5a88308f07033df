"""Aids for setting up a camera: how sharp a frame is, and how well exposed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.grey_picture import solid

BINS = 32
# Grey levels 0..4 hold no structure above the noise; from 251 on a sensor is at its end.
DARK, SATURATED = 4, 251
# Shares beyond which details of the part may be lost.
MOST_DARK, MOST_SATURATED = 0.25, 0.01
_DIM = 40.0


@dataclass(frozen=True, slots=True)
class FrameAid:
    """What helps to focus a lens and to set an exposure.

    Attributes:
        sharpness: 0 or more; grows with focus. It compares frames of one scene with each other,
            hardly depends on the exposure, and has no unit.
        mean: grey level, 0 to 255.
        dark: share of the pixels whose brightest channel is at most DARK.
        saturated: share of the pixels with a channel of at least SATURATED.
        histogram: BINS shares of grey levels, from dark to bright; their sum is 1.
    """

    sharpness: float
    mean: float
    dark: float
    saturated: float
    histogram: tuple[float, ...]

    @property
    def advice(self) -> str:
        """Return what to change about the exposure, empty when nothing."""
        if self.saturated > MOST_SATURATED:
            return "shorten the exposure, or lower gain or light"
        if self.dark > MOST_DARK and self.mean < _DIM:
            return "lengthen the exposure, or open the iris"
        return ""


def measure_aid(pixels_bgr: NDArray[np.uint8]) -> FrameAid:
    """Measure one frame, (H, W, 3) uint8 BGR of any size."""
    pixels_bgr = solid(pixels_bgr)
    grey = cv2.cvtColor(pixels_bgr, cv2.COLOR_BGR2GRAY)
    counts = np.bincount(grey.ravel(), minlength=256).reshape(BINS, -1).sum(1)
    brightest = pixels_bgr.max(axis=2)
    mean = float(grey.mean())
    return FrameAid(
        sharpness=_sharpness(grey, mean),
        mean=mean,
        dark=float((brightest <= DARK).mean()),
        saturated=float((brightest >= SATURATED).mean()),
        histogram=tuple(float(share) for share in counts / grey.size),
    )


def _sharpness(grey: NDArray[np.uint8], mean: float) -> float:
    """Deviation of the second derivative, in per cent of the mean grey level.

    A little smoothing first: noise has a second derivative, too. Dividing by the mean takes the
    exposure out.
    """
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (3, 3), 0)
    deviation = float(cv2.Laplacian(smooth, cv2.CV_32F).std())
    return 100.0 * deviation / max(mean, 1.0)
