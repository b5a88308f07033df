"""From the view that was inspected back to the camera's frame: regions and map."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.geometry.view_transform import View
from edge.result import Region

Points = NDArray[np.float64]
Size = tuple[int, int]
Map = NDArray[np.float32]
# A map over a frame of which a small part is inspected has no more cells than this a side.
MAX_MAP_SIDE = 1024
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


class FrameMaps:
    """Shows maps of views over their frames; remembers how, where all views lie alike."""

    def __init__(self) -> None:
        self._key: object = None
        self._grid: NDArray[np.float32] | None = None

    def show(self, view_map: Map, view: View, frame_wh: Size) -> Map:
        """Show a map of a view, (h, w), over its frame; 0 where the view does not reach.

        Its cells stay about as large as they are.
        """
        if not view.moves:
            return view_map
        map_wh = (view_map.shape[1], view_map.shape[0])
        key = (view.steps, view.size_wh, frame_wh, map_wh)
        if self._grid is None or self._key != key:
            shown_wh = shown_size(view.size_wh, frame_wh, map_wh)
            self._key, self._grid = key, map_grid(view, view.size_wh, frame_wh, map_wh, shown_wh)
        return map_in_frame(view_map, self._grid)


def shown_size(view_wh: Size, frame_wh: Size, map_wh: Size) -> Size:
    """Return the size of a map over the frame with cells like those of a map over the view."""
    width, height = (
        min(MAX_MAP_SIDE, max(1, round(cells * whole / part)))
        for cells, part, whole in zip(map_wh, view_wh, frame_wh, strict=True)
    )
    return (width, height)


def map_grid(
    geometry: ViewGeometry,
    view_wh: Size,
    frame_wh: Size,
    map_wh: Size,
    shown_wh: Size | None = None,
) -> NDArray[np.float32]:
    """Return (h, w, 2): for each cell of a map over the frame its place in a map over the view.

    Args:
        geometry: how the view lies in the frame.
        view_wh: size of the view, pixels.
        frame_wh: size of the frame.
        map_wh: size of the map over the view, cells.
        shown_wh: of the map over the frame; None is the same.
    """
    (map_w, map_h), (width, height) = map_wh, shown_wh or map_wh
    cells = np.array([frame_wh[0] / width, frame_wh[1] / height])
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    middles = (np.column_stack([x.ravel(), y.ravel()]) + 0.5) * cells - 0.5
    in_view = geometry.from_frame(middles)
    places = (in_view + 0.5) * (map_w / view_wh[0], map_h / view_wh[1]) - 0.5
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
