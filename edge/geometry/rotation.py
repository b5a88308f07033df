"""Quarter turns of a picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.geometry.points import Points, as_points

_CODES = {
    90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rotation:
    """A turn of pictures of `size_wh` by 90, 180 or 270 degrees, clockwise as seen."""

    degrees: int
    size_wh: tuple[int, int]

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn a picture, (H, W) or (H, W, 3) uint8; no pixel is lost or mixed."""
        return np.asarray(cv2.rotate(image, _CODES[self.degrees]), np.uint8)

    def to_frame(self, points: ArrayLike) -> Points:
        """Move points of the turned picture, (n, 2), back."""
        x, y = as_points(points).T
        right, bottom = self.size_wh[0] - 1, self.size_wh[1] - 1
        if self.degrees == 90:
            return np.column_stack([y, bottom - x])
        if self.degrees == 180:
            return np.column_stack([right - x, bottom - y])
        return np.column_stack([right - y, x])

    def from_frame(self, points: ArrayLike) -> Points:
        """Move points, (n, 2), to their places in the turned picture."""
        x, y = as_points(points).T
        right, bottom = self.size_wh[0] - 1, self.size_wh[1] - 1
        if self.degrees == 90:
            return np.column_stack([bottom - y, x])
        if self.degrees == 180:
            return np.column_stack([right - x, bottom - y])
        return np.column_stack([y, right - x])
