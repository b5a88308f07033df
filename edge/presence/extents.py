"""Where objects begin and end along the belt, from what is no belt in one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Cells of nothing that do not end an object.
_JOIN = 2


@dataclass(frozen=True, slots=True)
class Extent:
    """Cells from `start` up to `end`, without `end`."""

    start: float
    end: float

    @property
    def length(self) -> float:
        """Cells covered."""
        return self.end - self.start

    def overlap(self, start: float, end: float) -> float:
        """Return the number of cells shared with another extent."""
        return max(0.0, min(self.end, end) - max(self.start, start))


def extents(profile: NDArray[np.float32], min_cover: float, min_length: float) -> list[Extent]:
    """Return the objects in order along the belt.

    Args:
        profile: (along,) share of cells across the belt that are no belt, 0..1.
        min_cover: a smaller share is noise.
        min_length: shorter objects are noise, cells.
    """
    is_object = np.concatenate(([False], profile >= min_cover, [False]))
    edges = np.flatnonzero(is_object[1:] != is_object[:-1])
    joined: list[Extent] = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if joined and start - joined[-1].end < _JOIN:
            joined[-1] = Extent(joined[-1].start, end)
        else:
            joined.append(Extent(start, end))
    return [each for each in joined if each.length >= min_length]
