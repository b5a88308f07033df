"""The plane of a board: from millimetres on it to pixels of the frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike

from edge.geometry.checkerboard import Board
from edge.geometry.points import Matrix, moved

# Root mean square distance between found and expected corners. A lens that bends lines leaves more.
MAX_RESIDUAL_PX = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """`matrix`: (3, 3) from mm on the board to pixels; `residual_px`: what it leaves of corners."""

    matrix: Matrix
    residual_px: float

    def jacobian(self, point_mm: ArrayLike) -> Matrix:
        """Return (2, 2): pixels per mm along both axes of the board at one of its points."""
        u, v, w = self.matrix @ np.append(np.asarray(point_mm, np.float64), 1.0)
        top, bottom = self.matrix[:2, :2], self.matrix[2, :2]
        return np.asarray((top - np.outer([u / w, v / w], bottom)) / w)


def plane_to_frame(board: Board, pitch_mm: float) -> Plane:
    """Fit the plane of a board by least squares.

    Raises:
        ValueError: in one line: corners do not lie on a plane.
    """
    on_board = board.plane_mm(pitch_mm)
    matrix, _ = cv2.findHomography(on_board, board.corners_xy, 0)
    away = moved(matrix, on_board) - board.corners_xy
    residual = float(np.sqrt((away**2).sum(axis=1).mean()))
    if not residual <= MAX_RESIDUAL_PX:
        raise ValueError(
            f"{board.name}: expected the corners of a flat board to within {MAX_RESIDUAL_PX:g} px, "
            f"found {residual:.2f} px; use a flat board, and run edge-calibrate lens first"
        )
    return Plane(np.asarray(matrix / matrix[2, 2], np.float64), residual)
