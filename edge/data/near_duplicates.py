"""Is a frame nearly the same as one taken before: the same part, not moved?"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.grey_picture import solid

# Side of the small grey pictures that are compared; sensor noise averages out in their cells.
SIDE = 32
# Grey levels that two small pictures may differ by, as a root mean square and at most, to count as
# nearly the same. Noise of 6 grey levels, JPEG and a lamp that changed by 3 % make 0.6 and 2.8;
# different good parts of the sets cookie, pcb_traces and magnetic_tile and of the simulated
# conveyor differ by at least 1.0 and 6.2.
ALIKE_RMS = 0.8
ALIKE_MOST = 4.5
# Lamps flicker: a brightness that differs by this factor is put right before comparing.
_GAIN = (0.8, 1.25)

Small = NDArray[np.float32]


class SeenPictures:
    """Remembers pictures, a few kilobytes each, and finds those that are nearly the same."""

    def __init__(self) -> None:
        self._rows = np.empty((64, SIDE * SIDE), np.float32)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, pixels_bgr: NDArray[np.uint8]) -> None:
        """Remember one picture, (H, W, 3) uint8 BGR of any size."""
        if self._count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[self._count] = _small(pixels_bgr)
        self._count += 1

    def has_alike(self, pixels_bgr: NDArray[np.uint8]) -> bool:
        """Tell whether a picture is nearly one of those that are remembered."""
        if not self._count:
            return False
        own, rows = _small(pixels_bgr), self._rows[: self._count]
        power = np.einsum("ij,ij->i", rows, rows)
        shared = rows @ own
        gain = np.clip(shared / np.maximum(power, 1e-6), *_GAIN)
        square = (own @ own - 2 * gain * shared + gain**2 * power) / own.size
        near = np.flatnonzero(square < ALIKE_RMS**2)
        # A small mark changes the mean of all cells little, but its own cell much.
        most = np.abs(own - gain[near, None] * rows[near]).max(axis=1)
        return bool((most < ALIKE_MOST).any())


def _small(pixels_bgr: NDArray[np.uint8]) -> Small:
    """Shrink to SIDE x SIDE grey levels around their mean, in one row."""
    grey = cv2.cvtColor(solid(pixels_bgr), cv2.COLOR_BGR2GRAY).astype(np.float32)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).reshape(-1)
    return np.asarray(small - small.mean(), np.float32)
