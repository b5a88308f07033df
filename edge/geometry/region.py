"""A region of a view: a rectangle or a polygon, in pixels or in shares of the view's sides."""

from __future__ import annotations

from typing import Annotated, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edge.config.reader import Settings
from edge.geometry.points import Points
from edge.geometry.values import Finite

Size = tuple[int, int]
Inside = NDArray[np.bool_]
Length = Annotated[Finite, Field(gt=0)]
MAX_CORNERS = 1000


class Region(Settings):
    """A rectangle or a polygon.

    Attributes:
        rectangle_xywh: left, top, width and height.
        polygon_xy: corners, at middles of pixels; its border belongs to it.
        unit: `px`, or `share` of the view's width and height, 0 to 1.
    """

    rectangle_xywh: tuple[Finite, Finite, Length, Length] | None = None
    polygon_xy: tuple[tuple[Finite, Finite], ...] | None = Field(
        default=None, min_length=3, max_length=MAX_CORNERS
    )
    unit: Literal["px", "share"] = "px"

    @model_validator(mode="after")
    def _is_one_shape(self) -> Region:
        self._check_shape()
        return self

    def _check_shape(self) -> None:
        if (self.rectangle_xywh is None) == (self.polygon_xy is None):
            raise ValueError("expected one of rectangle_xywh and polygon_xy")
        left, top, right, bottom = self.reach
        if self.polygon_xy is not None and (right <= left or bottom <= top):
            raise ValueError("polygon_xy: expected corners that enclose an area")
        if self.unit == "share" and not (left >= 0 and top >= 0 and right <= 1 and bottom <= 1):
            raise ValueError("expected shares from 0 to 1; leave unit out for pixels")

    def as_dict(self) -> dict[str, object]:
        """Describe the region in payloads: its shape and the box around it, in `unit`."""
        left, top, right, bottom = self.reach
        return {
            "shape": "polygon" if self.rectangle_xywh is None else "rectangle",
            "box": [left, top, right - left, bottom - top],
            "unit": self.unit,
        }

    @property
    def reach(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom border, in `unit`."""
        if self.rectangle_xywh is not None:
            x, y, w, h = self.rectangle_xywh
            return (x, y, x + w, y + h)
        corners = np.array(self.polygon_xy)
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        return (float(left), float(top), float(right), float(bottom))

    def inside(self, size_wh: Size) -> Inside:
        """Return which pixels of a view of `size_wh` lie inside, (H, W) bool."""
        marked = np.zeros(size_wh[::-1], np.uint8)
        if self.polygon_xy is not None:
            # Sixteenths of a pixel, as OpenCV counts them.
            corners = np.rint(self._corners(size_wh) * 16).astype(np.int32)
            cv2.fillPoly(marked, [corners], 1, shift=4)
            return marked > 0
        left, top, right, bottom = self._borders(size_wh)
        marked[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = 1
        return marked > 0

    def box(self, size_wh: Size) -> tuple[int, int, int, int]:
        """Return left, top, width and height of the pixels that it reaches over.

        Raises:
            ValueError: in one line: it reaches out of a view of `size_wh`.
        """
        left, top, right, bottom = self._borders(size_wh)
        if left < 0 or top < 0 or right > size_wh[0] or bottom > size_wh[1]:
            raise ValueError(
                f"expected a region inside the view of {size_wh[0]}x{size_wh[1]} pixels, found "
                f"one from {left},{top} to {right},{bottom}"
            )
        return (left, top, right - left, bottom - top)

    def _borders(self, size_wh: Size) -> tuple[int, int, int, int]:
        """Return the first pixel inside and the first one behind, along x and y."""
        if self.polygon_xy is not None:
            corners = self._corners(size_wh)
            left, top = np.rint(corners.min(axis=0)).astype(int)
            right, bottom = np.rint(corners.max(axis=0)).astype(int) + 1
            return (int(left), int(top), int(right), int(bottom))
        scale = np.array(size_wh * 2) if self.unit == "share" else np.ones(4)
        left, top, right, bottom = np.rint(np.array(self.reach) * scale).astype(int)
        return (int(left), int(top), int(right), int(bottom))

    def _corners(self, size_wh: Size) -> Points:
        corners = np.array(self.polygon_xy, np.float64)
        return corners * (np.array(size_wh) - 1) if self.unit == "share" else corners
