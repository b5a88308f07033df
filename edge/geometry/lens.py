"""Lens undistortion: a pinhole camera with Brown's distortion, measured on pictures of a board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from edge.config.reader import Settings
from edge.geometry.checkerboard import Board
from edge.geometry.frame_unfit import check_size
from edge.geometry.points import Points, as_points, corners_of
from edge.geometry.values import Finite, FrameSide

# Fewer views of a board do not tell lens and poses apart.
LEAST_PICTURES = 5
# Root mean square; a flat, sharp board leaves 0.1 to 0.3 pixels.
MAX_REPROJECTION_PX = 1.0
# Relative standard deviation of the focal length.
MAX_FOCAL_DEVIATION = 0.05
# Between the two boards that differ most. Boards that all lie flat tell no focal length.
LEAST_TILT_DEG = 8.0
# Share of the frame's width and height that the corners of all boards reach over.
LEAST_COVERAGE = 0.5
MAX_ITERATIONS = 50
# Relative to the focal length: a millionth of a pixel at 10 000.
CONVERGED = 1e-10


class Lens(Settings):
    """How a lens bends straight lines.

    The undistorted picture has the frame's size, focal length and centre. Where it shows more than
    the frame does, the frame's border is repeated.

    Attributes:
        size_wh: size of the frames it was measured with, pixels.
        focal_xy_px: focal length in pixels along x and y.
        centre_xy_px: where the optical axis meets the frame.
        distortion: k1, k2, p1, p2, k3 of Brown's model, as in OpenCV.
        reprojection_px: root mean square distance between found and expected corners.
        pictures: how many were measured.
        measured_on: the day.
    """

    size_wh: tuple[FrameSide, FrameSide]
    focal_xy_px: tuple[Annotated[Finite, Field(gt=0)], Annotated[Finite, Field(gt=0)]]
    centre_xy_px: tuple[Finite, Finite]
    distortion: tuple[Finite, Finite, Finite, Finite, Finite]
    reprojection_px: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    pictures: int | None = Field(default=None, ge=1)
    measured_on: date | None = None

    @model_validator(mode="after")
    def _is_one_to_one(self) -> Lens:
        corners = (corners_of(self.size_wh) - self.centre_xy_px) / self.focal_xy_px
        k1, k2, _, _, k3 = self.distortion
        squared = np.linspace(0, float((corners**2).sum(axis=1).max()), 200)
        if (1 + 3 * k1 * squared + 5 * k2 * squared**2 + 7 * k3 * squared**3).min() <= 0:
            raise ValueError(
                "distortion: expected one place in the frame for each of the scene, this one folds "
                "the picture over; measure again with the board in the corners of the frame too"
            )
        return self

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Undistort a frame, (H, W) or (H, W, 3) uint8; the result has its size.

        Raises:
            FrameUnfit: the frame has another size than `size_wh`.
        """
        check_size(image, self.size_wh, "lens")
        places, weights = self._maps
        return np.asarray(
            cv2.remap(image, places, weights, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
            np.uint8,
        )

    def to_frame(self, points: ArrayLike) -> Points:
        """Move points of the undistorted picture, (n, 2), to where the frame shows them."""
        ideal = (as_points(points) - self.centre_xy_px) / self.focal_xy_px
        return np.asarray(self._distorted(ideal) * self.focal_xy_px + self.centre_xy_px)

    def from_frame(self, points: ArrayLike) -> Points:
        """Move points of the frame, (n, 2), to their places in the undistorted picture."""
        seen = (as_points(points) - self.centre_xy_px) / self.focal_xy_px
        ideal = seen.copy()
        for _ in range(MAX_ITERATIONS):
            away = seen - self._distorted(ideal)
            ideal += away
            if len(away) == 0 or np.abs(away).max() < CONVERGED:
                break
        return np.asarray(ideal * self.focal_xy_px + self.centre_xy_px)

    def _distorted(self, ideal: Points) -> Points:
        k1, k2, p1, p2, k3 = self.distortion
        x, y = ideal.T
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        return np.column_stack(
            [
                x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
                y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
            ]
        )

    @cached_property
    def _maps(self) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
        """For each pixel of the undistorted picture its place in the frame, in fixed point."""
        camera = _matrix(self.focal_xy_px, self.centre_xy_px)
        places, weights = cv2.initUndistortRectifyMap(
            camera, np.array(self.distortion), None, camera, self.size_wh, cv2.CV_16SC2
        )
        return places, weights


@dataclass(frozen=True, slots=True)
class MeasuredLens:
    """A lens with what its measurement says of itself.

    `focal_deviation` is the relative standard deviation of the focal length, `worst_px` the root
    mean square distance in the worst picture.
    """

    lens: Lens
    focal_deviation: float
    worst_px: float


def measure_lens(
    boards: Sequence[Board], pitch_mm: float, size_wh: tuple[int, int], measured_on: date
) -> MeasuredLens:
    """Measure a lens on pictures of a board in different places and at different angles.

    Args:
        boards: as found in frames of one size, at least LEAST_PICTURES.
        pitch_mm: side of a square; the lens does not depend on it.
        size_wh: size of the frames, pixels.
        measured_on: the day.

    Raises:
        ValueError: in one line: too few boards, all in the middle, none tilted, or none flat.
    """
    if len(boards) < LEAST_PICTURES:
        raise ValueError(
            f"expected at least {LEAST_PICTURES} pictures of the board, found {len(boards)}; take "
            "more, with the board in the middle, in each corner, and tilted by 10 to 30 degrees"
        )
    seen = np.concatenate([board.corners_xy for board in boards])
    share = float((np.ptp(seen, axis=0) / size_wh).min())
    if share < LEAST_COVERAGE:
        raise ValueError(
            f"expected boards all over the frame, they reach over {share:.0%} of its width or "
            "height; move the board into the corners of the frame"
        )
    fixed = cv2.CALIB_FIX_K3
    flat = [np.column_stack([b.plane_mm(pitch_mm), np.zeros(len(b.corners_xy))]) for b in boards]
    error, camera, distortion, turns, _, deviations, _, errors = cv2.calibrateCameraExtended(
        [each.astype(np.float32) for each in flat],
        [board.corners_xy.astype(np.float32) for board in boards],
        size_wh, None, None, flags=fixed,
    )  # fmt: skip
    if not error <= MAX_REPROJECTION_PX:
        raise ValueError(
            f"expected a reprojection error of at most {MAX_REPROJECTION_PX:g} px, found "
            f"{error:.2f} px, worst in {boards[int(errors.argmax())].name}; use a flat board, "
            "leave that picture out, and check --board"
        )
    doubt = float(deviations[0, 0] / camera[0, 0])
    tilt = _largest_tilt_deg(turns)
    if tilt < LEAST_TILT_DEG or not doubt <= MAX_FOCAL_DEVIATION:
        raise ValueError(
            f"expected boards at different angles, they differ by {tilt:.0f} degrees at most and "
            f"leave {doubt:.1%} of doubt in the focal length; tilt the board by 10 to 30 degrees "
            "in several pictures"
        )
    k1, k2, p1, p2, k3 = (float(value) for value in distortion.ravel()[:5])
    lens = Lens(
        size_wh=size_wh,
        focal_xy_px=(float(camera[0, 0]), float(camera[1, 1])),
        centre_xy_px=(float(camera[0, 2]), float(camera[1, 2])),
        distortion=(k1, k2, p1, p2, k3),
        reprojection_px=float(error),
        pictures=len(boards),
        measured_on=measured_on,
    )
    return MeasuredLens(lens, doubt, float(errors.max()))


def _largest_tilt_deg(turns: Sequence[NDArray[np.float64]]) -> float:
    """Return the largest angle between the normals of two boards, by their rotation vectors."""
    normals = np.array([cv2.Rodrigues(turn)[0][:, 2] for turn in turns])
    return float(np.degrees(np.arccos(np.clip(normals @ normals.T, -1, 1))).max())


def _matrix(focal_xy: tuple[float, float], centre_xy: tuple[float, float]) -> NDArray[np.float64]:
    return np.array([[focal_xy[0], 0, centre_xy[0]], [0, focal_xy[1], centre_xy[1]], [0, 0, 1]])
