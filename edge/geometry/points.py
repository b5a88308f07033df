"""Points in pictures: (n, 2) float64, x to the right and y down, pixel centres at whole numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]
Matrix = NDArray[np.float64]


def inverse(matrix: Matrix) -> Matrix:
    """Return the inverse of a (3, 3) matrix."""
    return np.asarray(np.linalg.inv(matrix), np.float64)


def as_points(points: ArrayLike) -> Points:
    """Return (n, 2) float64.

    Raises:
        ValueError: the shape is another.
    """
    found = np.asarray(points, np.float64)
    if found.ndim != 2 or found.shape[1] != 2:
        raise ValueError(f"points: expected the shape (n, 2), got {found.shape}")
    return found


def moved(matrix: Matrix, points: ArrayLike) -> Points:
    """Move points by a (2, 3) affine or a (3, 3) projective matrix."""
    found = as_points(points)
    by = np.column_stack([found, np.ones(len(found))]) @ matrix.T
    return np.asarray(by[:, :2] / by[:, 2:] if matrix.shape[0] == 3 else by)


def corners_of(size_wh: tuple[int, int]) -> Points:
    """Return the centres of the corner pixels: top left, top right, bottom right, bottom left."""
    right, bottom = size_wh[0] - 1.0, size_wh[1] - 1.0
    return np.array([[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]])
