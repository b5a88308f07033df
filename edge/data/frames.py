"""Pictures -> network inputs, exactly as the line makes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.data.image_set import Sample, read_view
from edge.inspection.preprocess import to_network, views

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class InputShape:
    """How frames become network inputs: size, tiles and their overlap, as in the recipe."""

    size_wh: tuple[int, int]
    tiles_wh: tuple[int, int] = (1, 1)
    overlap: float = 0.0

    @property
    def tiles(self) -> int:
        """Network inputs per frame."""
        return self.tiles_wh[0] * self.tiles_wh[1]


def network_inputs(pixels_bgr: Image, shape: InputShape) -> Image:
    """Turn one frame into its (tiles, H, W, 3) uint8 RGB network inputs."""
    width, height = shape.size_wh
    out = np.empty((shape.tiles, height, width, 3), np.uint8)
    for tile, view in zip(out, views(pixels_bgr, shape.tiles_wh, shape.overlap), strict=True):
        to_network(view, shape.size_wh, tile)
    return out


def input_batches(samples: Sequence[Sample], shape: InputShape, batch: int = 16) -> Iterator[Image]:
    """Read pictures in order and yield their network inputs, about `batch` at a time.

    Tiles of one picture stay in one batch.

    Raises:
        DataError: a picture is unreadable.
    """
    waiting: list[Image] = []
    for sample in samples:
        waiting.append(network_inputs(read_view(sample).pixels_bgr, shape))
        if sum(len(inputs) for inputs in waiting) >= batch:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)
