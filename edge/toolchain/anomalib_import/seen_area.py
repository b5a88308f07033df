"""Which part of its input an exported model looks at: PatchCore's pre-processing crops.

Its map shows that part alone, while a station takes the map for the whole frame. The model's first
convolution is given a picture whose pixels tell their own place, so the crop is read off exactly,
however it is written in the graph and whatever the network makes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.errors import ExportError

Values = NDArray[np.float64]
# A pixel may lie this many steps beside its place: resizing rounds, and stops at the borders.
ROUNDING = 1.0
# The same for a whole picture without a crop: no pixel of the input is wasted on purpose by less.
WHOLE = 1.5


class SeenArea(NamedTuple):
    """Cells that are missing around the map, for it to show the whole frame."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    @property
    def is_whole(self) -> bool:
        """Nothing is missing."""
        return not any(self)

    def share(self, map_wh: tuple[int, int]) -> float:
        """Share of the frame that a map of this size, without the missing cells, shows."""
        width, height = map_wh
        whole = (width + self.left + self.right) * (height + self.top + self.bottom)
        return width * height / whole

    def padded(self, anomaly_map: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a map (h, w) with the missing cells as zeros."""
        return np.pad(anomaly_map, ((self.top, self.bottom), (self.left, self.right)))


def find_seen_area(
    first_convolved: Callable[[NDArray[np.float32]], NDArray[Any]],
    size_wh: tuple[int, int],
    map_wh: tuple[int, int],
) -> SeenArea:
    """Find what part of an input of `size_wh` becomes a map of `map_wh`, both in pixels.

    Args:
        first_convolved: see ExportedModel.
        size_wh: of the input.
        map_wh: of the export's own map.

    Raises:
        ExportError: pre-processing is no resizing and cropping.
    """
    width, height = size_wh

    def seen(picture: NDArray[np.float32]) -> Values:
        return np.asarray(first_convolved(np.repeat(picture[None], 3, axis=0)), np.float64)

    dark, bright = (seen(np.full((height, width), level, np.float32)) for level in (0, 1))
    columns, rows = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    spread = bright - dark
    if spread.ndim != 3 or np.abs(spread).min() < 1e-6:
        raise ExportError(
            "the export's pre-processing does more than to resize, crop and normalise (it may pad "
            "the picture): its map could not be laid over the frame; export with another one"
        )
    across, down = (
        (seen(ramp.astype(np.float32)) - dark) / spread * (side - 1)
        for ramp, side in ((columns, width), (rows, height))
    )
    left, right = _missing(across.mean(axis=(0, 1)), width, map_wh[0])
    top, bottom = _missing(down.mean(axis=(0, 2)), height, map_wh[1])
    return SeenArea(left, top, right, bottom)


def _missing(places: Values, length: int, cells: int) -> tuple[int, int]:
    """Cells missing before and behind, from the places of the pixels along one axis.

    Pixel i of a picture resized by `step` lies at (i + 0.5) step - 0.5; borders are clamped, so the
    step is taken from the middle.
    """
    index = np.arange(len(places))
    middle = slice(len(places) // 4, max(len(places) * 3 // 4, len(places) // 4 + 2))
    step, first = np.polyfit(index[middle], places[middle], 1)
    if not step > 0 or np.abs(first + step * index - places).max() > ROUNDING + step:
        raise ExportError(
            "the export's pre-processing turns or bends the picture: its map could not be laid "
            "over the frame; export with one that resizes and crops alone"
        )
    start, end = first + 0.5 - step / 2, first + 0.5 + step * (len(places) - 0.5)
    if start < WHOLE and length - end < WHOLE:
        return 0, 0
    scale = cells / (end - start)
    return max(0, round(start * scale)), max(0, round((length - end) * scale))
