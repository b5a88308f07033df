"""Notices a camera that repeats its last picture for ever."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# So many equal pictures are no accident, even at a high rate: sensors have noise.
MIN_REPEATS = 30
_STRIDE_PX = 16


class FrozenWatch:
    """Counts byte-identical pictures in a row, at next to no cost while they differ."""

    def __init__(self, after_s: float):
        self._after_ns = int(after_s * 1e9)
        self._first: NDArray[np.uint8] | None = None
        self._first_ns = 0
        self._repeats = 0

    def is_frozen(self, pixels_bgr: NDArray[np.uint8], now_ns: int) -> bool:
        """Take the next picture; True once 30 and more of them, over `after_s`, were the same."""
        if self._first is not None and _same(self._first, pixels_bgr):
            self._repeats += 1
        else:
            self._first, self._first_ns, self._repeats = pixels_bgr, now_ns, 0
        return self._repeats >= MIN_REPEATS and now_ns - self._first_ns > self._after_ns


def _same(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    # A coarse grid of pixels tells nearly all different pictures apart.
    grid = np.s_[::_STRIDE_PX, ::_STRIDE_PX]
    if a is b:
        return True
    return a.shape == b.shape and np.array_equal(a[grid], b[grid]) and np.array_equal(a, b)
