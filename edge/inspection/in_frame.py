"""From the view that was inspected back to the camera's frame: regions and map."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.result import Region

Points = NDArray[np.float64]
Size = tuple[int, int]
# Sides of the small square by which an area is compared between view and frame, pixels.
_SQUARE = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
# Points along each side of a box: lenses bend sides.
_SIDE_POINTS = 9


class ViewGeometry(Protocol):
    """How a view lies in the frame; points are (n, 2), pixel centres at whole numbers."""

    def to_frame(self, points: ArrayLike) -> Points:
        """Move points of the view to the frame."""

    def from_frame(self, points: ArrayLike) -> Points:
        """Move points of the frame to the view."""


def region_in_frame(region: Region, geometry: ViewGeometry, frame_wh: Size) -> Region:
    """Move a region of the view to pixels of the frame; its area in mm2 stays.

    What lies outside of the frame is cut off.
    """
    x, y, w, h = region.bbox_xywh
    outline = geometry.to_frame(_outline(x, y, w, h))
    left, top = np.floor(np.clip(outline.min(axis=0) + 0.5, 0, frame_wh)).astype(int)
    right, bottom = np.ceil(np.clip(outline.max(axis=0) + 0.5, 0, frame_wh)).astype(int)
    last = np.array(frame_wh) - 1
    # Outlines and centroids count from the corner of a pixel, points from its middle.
    corners = geometry.to_frame(np.array(region.polygon_xy) - 0.5) + 0.5
    polygon = np.clip(np.rint(corners), 0, last).astype(int)
    middle = np.array([region.centroid_xy]) - 0.5
    (centroid,) = np.clip(geometry.to_frame(middle) + 0.5, 0, frame_wh)
    return replace(
        region,
        bbox_xywh=(int(left), int(top), int(right - left), int(bottom - top)),
        polygon_xy=tuple((int(px), int(py)) for px, py in polygon),
        area_px=region.area_px * _area(geometry.to_frame(middle + _SQUARE)),
        centroid_xy=(float(centroid[0]), float(centroid[1])),
    )


def map_grid(
    geometry: ViewGeometry, view_wh: Size, frame_wh: Size, map_wh: Size
) -> NDArray[np.float32]:
    """Return (h, w, 2): for each cell of a map over the frame its place in a map over the view."""
    width, height = map_wh
    cells = np.array([frame_wh[0] / width, frame_wh[1] / height])
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    middles = (np.column_stack([x.ravel(), y.ravel()]) + 0.5) * cells - 0.5
    in_view = geometry.from_frame(middles)
    places = (in_view + 0.5) * (width / view_wh[0], height / view_wh[1]) - 0.5
    return np.asarray(places.reshape(height, width, 2), np.float32)


def map_in_frame(view_map: NDArray[np.float32], grid: NDArray[np.float32]) -> NDArray[np.float32]:
    """Show a map of the view, (h, w) float32, over the frame; 0 where the view does not reach.

    Args:
        view_map: covers the whole view.
        grid: made by `map_grid` for maps of this size.
    """
    shown = cv2.remap(
        view_map, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0.0
    )
    return np.asarray(shown, np.float32)


def _outline(x: int, y: int, w: int, h: int) -> Points:
    """Return points along the outer border of a box of whole pixels."""
    along = np.linspace(0, 1, _SIDE_POINTS)
    across, down = x - 0.5 + along * w, y - 0.5 + along * h
    return np.concatenate(
        [
            np.column_stack([across, np.full(_SIDE_POINTS, y - 0.5)]),
            np.column_stack([across, np.full(_SIDE_POINTS, y - 0.5 + h)]),
            np.column_stack([np.full(_SIDE_POINTS, x - 0.5), down]),
            np.column_stack([np.full(_SIDE_POINTS, x - 0.5 + w), down]),
        ]
    )


def _area(corners: Points) -> float:
    x, y = corners.T
    return math.fabs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
