"""Pixels -> network input; training, thresholds, parity and the line share `to_network`."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.grey_picture import plane_of

Image = NDArray[np.uint8]


def shrink(pixels: Image, size_wh: tuple[int, int]) -> Image:
    """Resize (H, W) or (H, W, 3) uint8 to `size_wh`; no aspect ratio is kept, nothing is cropped.

    Halved by averaging while that fits, then bilinear over the last factor below two: every source
    pixel counts, so that fine texture does not turn into moire, at a seventh of the cost of one
    area average from 1280x1024 (benchmarks/shrink.py).
    """
    width, height = size_wh
    while pixels.shape[1] >= 2 * width and pixels.shape[0] >= 2 * height:
        half = (pixels.shape[1] // 2, pixels.shape[0] // 2)
        pixels = cv2.resize(pixels, half, interpolation=cv2.INTER_AREA)
    if (pixels.shape[1], pixels.shape[0]) == size_wh:
        return pixels
    return np.asarray(cv2.resize(pixels, size_wh, interpolation=cv2.INTER_LINEAR), np.uint8)


def to_network(pixels_bgr: Image, size_wh: tuple[int, int], out: Image) -> None:
    """Write the network input of one view into `out`, (H, W, 3) uint8 RGB of `size_wh`.

    Colour order and range are all that happens here; normalisation is part of the graph. A grey
    picture is shrunk in one channel and repeated at the small size: the same levels, sooner.
    """
    plane = plane_of(pixels_bgr)
    if plane is None:
        cv2.cvtColor(shrink(pixels_bgr, size_wh), cv2.COLOR_BGR2RGB, dst=out)
    else:
        cv2.cvtColor(shrink(plane, size_wh), cv2.COLOR_GRAY2RGB, dst=out)


@lru_cache(maxsize=64)
def tile_boxes(
    frame_wh: tuple[int, int], tiles_wh: tuple[int, int], overlap: float
) -> tuple[tuple[int, int, int, int], ...]:
    """Cut a frame into columns x rows of equal, overlapping boxes (x, y, width, height).

    `overlap` is the share of a tile that it has in common with its neighbour, so that a defect on
    a seam is whole in one of them. A single tile is the whole frame.
    """
    columns = _cuts(frame_wh[0], tiles_wh[0], overlap)
    rows = _cuts(frame_wh[1], tiles_wh[1], overlap)
    return tuple((x, y, w, h) for y, h in rows for x, w in columns)


def _cuts(length: int, count: int, overlap: float) -> list[tuple[int, int]]:
    size = length if count == 1 else round(length / (count - (count - 1) * overlap))
    step = 0.0 if count == 1 else (length - size) / (count - 1)
    return [(round(i * step), size) for i in range(count)]


def views(
    pixels_bgr: Image, tiles_wh: tuple[int, int] = (1, 1), overlap: float = 0.0
) -> list[Image]:
    """Return the tiles of a frame as views into it, row by row."""
    boxes = tile_boxes((pixels_bgr.shape[1], pixels_bgr.shape[0]), tiles_wh, overlap)
    return [pixels_bgr[y : y + h, x : x + w] for x, y, w, h in boxes]
