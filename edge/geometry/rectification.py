"""Perspective rectification: a plane seen at an angle becomes a plane seen from above."""

from __future__ import annotations

from datetime import date
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from edge.config.reader import Settings
from edge.geometry.board_plane import plane_to_frame
from edge.geometry.checkerboard import Board
from edge.geometry.frame_unfit import check_size
from edge.geometry.points import Matrix, Points, corners_of, inverse, moved
from edge.geometry.values import Finite, FrameSide

# Between the nearest and the farthest corner of the rectified picture, by distance to the camera.
MAX_DEPTH_RATIO = 2.0


class Rectification(Settings):
    """Four points of the frame that become the corners of the rectified picture.

    Attributes:
        points_xy: top left, top right, bottom right and bottom left corner, in pixels of the
            undistorted frame; they may lie outside of it.
        size_wh: size of the rectified picture, pixels.
        frame_wh: size of the frames it was measured with; None takes any.
        reprojection_px: root mean square distance between found and expected corners.
        measured_on: the day.
        measured_through: digits of the lens in front of it, see `Place`; None when the points are
            stated by hand.
    """

    points_xy: tuple[
        tuple[Finite, Finite], tuple[Finite, Finite], tuple[Finite, Finite], tuple[Finite, Finite]
    ]
    size_wh: tuple[FrameSide, FrameSide]
    frame_wh: tuple[FrameSide, FrameSide] | None = None
    reprojection_px: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    measured_on: date | None = None
    measured_through: str | None = Field(default=None, pattern=r"^[0-9a-f]{12}$")

    @model_validator(mode="after")
    def _is_convex(self) -> Rectification:
        sides = np.roll(np.array(self.points_xy), -1, axis=0) - self.points_xy
        following = np.roll(sides, -1, axis=0)
        turns = sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0]
        # With y down, this order turns clockwise. A pixel squared is no rectangle.
        if turns.min() < 1:
            raise ValueError(
                "points_xy: expected the corners of a part of the frame, clockwise from the top "
                "left: top left, top right, bottom right, bottom left"
            )
        return self

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Rectify an undistorted frame, (H, W) or (H, W, 3) uint8; the result has `size_wh`.

        Raises:
            FrameUnfit: the frame has another size than `frame_wh`.
        """
        if self.frame_wh is not None:
            check_size(image, self.frame_wh, "rectification")
        return np.asarray(
            cv2.warpPerspective(
                image, self.matrix, self.size_wh, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            ),
            np.uint8,
        )  # fmt: skip

    def to_frame(self, points: ArrayLike) -> Points:
        """Move points of the rectified picture, (n, 2), to the undistorted frame."""
        return moved(self.matrix, points)

    def from_frame(self, points: ArrayLike) -> Points:
        """Move points of the undistorted frame, (n, 2), to the rectified picture."""
        return moved(inverse(self.matrix), points)

    @cached_property
    def matrix(self) -> Matrix:
        """(3, 3) from the rectified picture to the undistorted frame."""
        corners = corners_of(self.size_wh).astype(np.float32)
        # Its solution is of double precision, but for arguments of single.
        matrix = cv2.getPerspectiveTransform(corners, np.array(self.points_xy, np.float32))
        return np.asarray(matrix, np.float64)


def rectify_by_board(
    board: Board, pitch_mm: float, frame_wh: tuple[int, int], measured_on: date
) -> Rectification:
    """See the plane of a board from above, with the scale and the place of the board's middle.

    The rectified picture has the frame's size.

    Args:
        board: corners in pixels of the undistorted frame.
        pitch_mm: side of a square.
        frame_wh: size of the frame.
        measured_on: the day.

    Raises:
        ValueError: in one line: the board is not flat, or tilted too far for the frame.
    """
    plane = plane_to_frame(board, pitch_mm)
    middle_mm = board.plane_mm(pitch_mm).mean(axis=0)
    (middle,) = moved(plane.matrix, [middle_mm])
    scale = float(np.sqrt(abs(np.linalg.det(plane.jacobian(middle_mm)))))
    turn = _turn(plane.jacobian(middle_mm))
    corners_mm = (corners_of(frame_wh) - middle) @ turn / scale + middle_mm
    depths = np.column_stack([corners_mm, np.ones(4)]) @ plane.matrix[2]
    if depths.min() <= 0 or depths.max() > MAX_DEPTH_RATIO * depths.min():
        raise ValueError(
            f"{board.name}: the plane is tilted too far for the whole frame to be seen from above; "
            "mount the camera more upright, or give the four points of the part that matters"
        )
    a, b, c, d = ((float(x), float(y)) for x, y in moved(plane.matrix, corners_mm))
    return Rectification(
        points_xy=(a, b, c, d),
        size_wh=frame_wh,
        frame_wh=frame_wh,
        reprojection_px=plane.residual_px,
        measured_on=measured_on,
    )


def _turn(jacobian: Matrix) -> Matrix:
    """Return the rotation nearest to `jacobian`: how the board lies in the frame."""
    left, _, right = np.linalg.svd(jacobian)
    return np.asarray(left @ np.diag([1, np.linalg.det(left @ right)]) @ right)
