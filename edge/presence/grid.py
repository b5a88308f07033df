"""Samples a frame coarsely, turned so that the belt runs along the last axis."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Axis = Literal["horizontal", "vertical"]
Sampled = NDArray[np.float32]
# Enough to tell two parts apart, few enough for a tenth of a millisecond.
_ALONG, _ACROSS = 160, 48
# Lines that sharpness is measured on, at full resolution.
_SHARP_LINES = 24


class Grid:
    """Cells of frames of one size.

    Args:
        size_wh: of the frames, pixels.
        axis: the direction of the picture that the belt runs along.
    """

    def __init__(self, size_wh: tuple[int, int], axis: Axis):
        self.size_wh = size_wh
        self._axis = axis
        width, height = size_wh
        length, breadth = (width, height) if axis == "horizontal" else (height, width)
        self.step_px = max(1, -(-length // _ALONG))
        self._across_px = max(1, -(-breadth // _ACROSS))
        self.length = len(range(self.step_px // 2, length, self.step_px))

    def sample(self, pixels_bgr: NDArray[np.uint8]) -> Sampled:
        """Return (3, across, along) float32 BGR, 0..255, of pixels (H, W, 3) uint8."""
        rows_px, columns_px = self._across_px, self.step_px
        if self._axis == "vertical":
            rows_px, columns_px = columns_px, rows_px
        # Copied in the order of memory first: a third of the time.
        cells = pixels_bgr[rows_px // 2 :: rows_px, columns_px // 2 :: columns_px].copy()
        return self._along_last(cells).astype(np.float32, order="C")

    def sharpness(self, pixels_bgr: NDArray[np.uint8], start: float, end: float) -> float:
        """Return the mean step between neighbours along the belt, grey levels, in these cells."""
        green = self._along_last(pixels_bgr)[1]
        first, last = max(0, int(start * self.step_px)), max(0, int(end * self.step_px))
        step = max(1, green.shape[0] // _SHARP_LINES)
        lines = green[step // 2 :: step, first:last].astype(np.int16)
        return float(np.abs(np.diff(lines, axis=1)).mean()) if lines.shape[1] > 1 else 0.0

    def _along_last(self, pixels_bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        axes = (2, 0, 1) if self._axis == "horizontal" else (2, 1, 0)
        return np.transpose(pixels_bgr, axes)
