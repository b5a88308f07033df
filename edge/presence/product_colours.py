"""The colours of a product, learned from one picture and its mask; the rest is belt."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.presence.grid import Sampled

# 16 levels per channel: a table of 4096 colours.
_LEVELS = 16
_SHIFT = 16


class ProductColours:
    """Tells product from belt by colour alone; needs no empty belt, but steady light."""

    def __init__(self, pixels_bgr: NDArray[np.uint8], is_product: NDArray[np.bool_]):
        """Learn from (H, W, 3) uint8 and (H, W), True on the product.

        Raises:
            ValueError: the mask has another size, or shows no product or nothing else.
        """
        if is_product.shape != pixels_bgr.shape[:2]:
            (high, wide), (rows, columns) = is_product.shape, pixels_bgr.shape[:2]
            raise ValueError(
                f"expected a mask of {columns}x{rows} pixels as its picture, found {wide}x{high}"
            )
        if is_product.all() or not is_product.any():
            raise ValueError("expected a mask with product and belt, found only one of them")
        cells = _cells(pixels_bgr.astype(np.int32).transpose(2, 0, 1))
        on = _histogram(cells[is_product])
        off = _histogram(cells[~is_product])
        self._is_product = on > off

    def difference(self, sample: Sampled) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the brightness of each cell, (across, along), and whether it is product."""
        cells = _cells(sample.astype(np.int32))
        return sample[0] + sample[1] + sample[2], self._is_product[cells]


def _cells(channels: NDArray[np.int32]) -> NDArray[np.int32]:
    levels = channels // _SHIFT
    return np.asarray((levels[0] * _LEVELS + levels[1]) * _LEVELS + levels[2], np.int32)


def _histogram(cells: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the share of each colour, spread over its neighbours: light is never the same."""
    counts = np.bincount(cells.reshape(-1), minlength=_LEVELS**3).astype(np.float64)
    cube = counts.reshape(_LEVELS, _LEVELS, _LEVELS) / max(1, cells.size)
    for axis in range(3):
        padded = np.pad(cube, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        first = [slice(None)] * 3
        parts = []
        for i in range(3):
            first[axis] = slice(i, i + _LEVELS)
            parts.append(padded[tuple(first)])
        cube = 0.25 * parts[0] + 0.5 * parts[1] + 0.25 * parts[2]
    return cube.reshape(-1)
