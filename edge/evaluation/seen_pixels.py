"""Which pixels of a labelled picture a bundle inspects: only those count."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.data.image_set import Sample, read_view
from edge.geometry.geometry import Geometry
from edge.geometry.view_transform import ViewTransform
from edge.inspection.in_frame import map_grid

Seen = NDArray[np.bool_]


class SeenPixels:
    """Tells which pixels of a picture are inspected, by the geometry of a recipe."""

    def __init__(self, geometry: Geometry | None):
        self._transform = None if geometry is None else ViewTransform(geometry)

    def __call__(self, sample: Sample, frame_wh: tuple[int, int], size_wh: tuple[int, int]) -> Seen:
        """Return (h, w) bool at `size_wh` over the whole picture, which has `frame_wh` pixels.

        Raises:
            DataError: the picture is unreadable, or the geometry does not fit it.
        """
        if self._transform is None:
            return np.ones(size_wh[::-1], np.bool_)
        view = read_view(Sample(sample.path, sample.label, sample.group, None, self._transform))
        shown = np.ones(view.size_wh[::-1], np.float32)
        if view.seen is not None:
            shown = view.seen.astype(np.float32)
        grid = map_grid(view, view.size_wh, frame_wh, view.size_wh, size_wh)
        found = np.asarray(cv2.remap(shown, grid, None, cv2.INTER_LINEAR, borderValue=0.0))
        return np.asarray(found >= 0.5, np.bool_)
