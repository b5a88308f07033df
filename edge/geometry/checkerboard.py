"""A checkerboard in a picture: its inner corners, found to a fraction of a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.geometry.points import Points

# Pixels from 10 to 90 % of an edge between black and white: in focus 2 to 3. Large squares bear
# more in proportion to their side.
MAX_EDGE_PX = 5.0
MAX_EDGE_SHARE = 0.1
# CALIB_CB_ACCURACY moves corners by up to 0.8 px in OpenCV 5.0; refining them ourselves does not.
_FLAGS = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_EXHAUSTIVE
# Half a window around a corner, as a share of a square, and at most so many pixels.
_WINDOW_SHARE, _MAX_WINDOW_PX = 0.3, 12
_REFINE = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 0.001)


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """Inner corners of a checkerboard.

    Attributes:
        name: of the picture.
        inner_wh: inner corners per row and per column.
        corners_xy: (n, 2) float64, row by row, in pixels of the picture. Rows run to the right,
            columns down, as seen in the picture.
    """

    name: str
    inner_wh: tuple[int, int]
    corners_xy: Points

    def plane_mm(self, pitch_mm: float) -> Points:
        """Return the corners on the board, (n, 2) in mm from the first."""
        columns, rows = self.inner_wh
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        return np.asarray(np.column_stack([x.ravel(), y.ravel()]) * pitch_mm, np.float64)


def find_board(image: NDArray[np.uint8], inner_wh: tuple[int, int], name: str) -> Board:
    """Find the board with `inner_wh` inner corners in a picture, (H, W, 3) uint8 BGR.

    Raises:
        ValueError: in one line: no such board, or blurred.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    corners = _corners(grey, inner_wh)
    if corners is None:
        raise ValueError(f"{name}: {_not_found(grey, inner_wh)}")
    columns, rows = inner_wh
    grid = corners.reshape(rows, columns, 2)
    along = np.linalg.norm(np.diff(grid, axis=1), axis=2).min()
    square = float(min(along, np.linalg.norm(np.diff(grid, axis=0), axis=2).min()))
    edge = cv2.estimateChessboardSharpness(grey, inner_wh, corners)[0][0]
    limit = max(MAX_EDGE_PX, MAX_EDGE_SHARE * square)
    if not edge <= limit:
        raise ValueError(
            f"{name}: the board is blurred: expected edges of at most {limit:.1f} px, found "
            f"{edge:.1f} px; focus the lens, hold the board still, and take the picture again"
        )
    half = int(np.clip(square * _WINDOW_SHARE, 2, _MAX_WINDOW_PX))
    refined = cv2.cornerSubPix(grey, corners, (half, half), (-1, -1), _REFINE)
    grid = _as_seen(refined.reshape(rows, columns, 2))
    return Board(name, inner_wh, grid.reshape(-1, 2).astype(np.float64))


def _corners(grey: NDArray[np.uint8], inner_wh: tuple[int, int]) -> NDArray[np.float32] | None:
    if min(inner_wh) < 3:
        return None
    is_found, corners = cv2.findChessboardCornersSB(grey, inner_wh, flags=_FLAGS)
    return corners if is_found else None


def _not_found(grey: NDArray[np.uint8], inner_wh: tuple[int, int]) -> str:
    columns, rows = inner_wh
    if _corners(grey, (columns - 1, rows - 1)) is not None:
        return (
            f"expected {columns}x{rows} inner corners, found {columns - 1}x{rows - 1}; --board "
            "counts inner corners, one fewer than squares"
        )
    return (
        f"no board with {columns}x{rows} inner corners; show it whole, large, sharp and evenly "
        "lit, with a white margin, and check --board"
    )


def _as_seen(grid: NDArray[np.float32]) -> NDArray[np.float32]:
    """Order a grid so that rows run to the right, or down where the board stands on its side.

    The finder may begin at either end of a row and of a column.
    """
    along, across = (grid[:, -1] - grid[:, 0]).sum(axis=0), (grid[-1] - grid[0]).sum(axis=0)
    if along[0] * across[1] - along[1] * across[0] < 0:
        grid = grid[::-1]
    is_backward = along[np.argmax(np.abs(along))] < 0
    return grid[::-1, ::-1] if is_backward else grid
