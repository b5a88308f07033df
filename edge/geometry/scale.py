"""Scale of a view in mm per pixel, with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from edge.config.reader import Settings
from edge.geometry.board_plane import plane_to_frame
from edge.geometry.checkerboard import Board
from edge.geometry.points import as_points

# Between the finest and the coarsest scale on the board.
MAX_VARIATION = 0.02
# Standard uncertainty of a point that a person or an edge tells, along any direction.
POINT_PX = 0.5
# Expanded uncertainty: about 95 % of measurements lie within.
COVERAGE_FACTOR = 2.0
Method = Literal["checkerboard", "length", "stated"]


class Scale(Settings):
    """How large a pixel of the place's view is.

    Attributes:
        mm_per_px: along any direction.
        uncertainty_mm_per_px: expanded uncertainty (k = 2); None if nobody measured it.
        method: a board of known squares, a known length between two points, or stated by hand.
        measured_on: the day.
        measured_through: digits of the lens and rectification in front of it, see `Place`; None
            when the scale is stated by hand.
    """

    mm_per_px: float = Field(gt=0, le=1e4, allow_inf_nan=False)
    uncertainty_mm_per_px: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    method: Method = "stated"
    measured_on: date | None = None
    measured_through: str | None = Field(default=None, pattern=r"^[0-9a-f]{12}$")

    @model_validator(mode="after")
    def _is_known_well(self) -> Scale:
        if (self.uncertainty_mm_per_px or 0.0) >= self.mm_per_px:
            raise ValueError("uncertainty_mm_per_px: expected less than mm_per_px")
        return self


@dataclass(frozen=True, slots=True)
class MeasuredScale:
    """mm per pixel and its expanded uncertainty (k = 2)."""

    mm_per_px: float
    uncertainty_mm_per_px: float


def scale_by_boards(
    boards: Sequence[Board], pitch_mm: float, pitch_uncertainty_mm: float = 0.0
) -> MeasuredScale:
    """Measure the scale on boards that lie where parts will lie.

    Its uncertainty has four parts: corners (what the fit leaves), tilt (scale varies over the
    board), differences between pictures, and the board itself.

    Args:
        boards: at least one, corners in pixels of the place's view.
        pitch_mm: side of a square.
        pitch_uncertainty_mm: its expanded uncertainty (k = 2).

    Raises:
        ValueError: in one line: no board, not flat, or tilted.
    """
    if not boards:
        raise ValueError("expected a picture of a board, found none")
    singles = [_of_board(board, pitch_mm) for board in boards]
    values = np.array([value for value, _ in singles])
    within = math.sqrt(sum(u * u for _, u in singles)) / len(singles)
    between = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    mean = float(values.mean())
    of_board = mean * pitch_uncertainty_mm / COVERAGE_FACTOR / pitch_mm
    return MeasuredScale(mean, COVERAGE_FACTOR * math.hypot(within, between, of_board))


def scale_by_length(
    points: ArrayLike, length_mm: float, length_uncertainty_mm: float = 0.0
) -> MeasuredScale:
    """Measure the scale on a known length between two points, (2, 2) in pixels of the view.

    Each point counts with a standard uncertainty of POINT_PX.

    Raises:
        ValueError: in one line: the points are too near.
    """
    first, last = as_points(points)
    length_px = float(np.linalg.norm(last - first))
    if length_px < 20 * POINT_PX:
        raise ValueError(
            f"expected two points at least {20 * POINT_PX:g} px apart, found {length_px:.1f} px; "
            "choose a longer distance"
        )
    scale = length_mm / length_px
    relative = math.hypot(
        POINT_PX * math.sqrt(2) / length_px, length_uncertainty_mm / COVERAGE_FACTOR / length_mm
    )
    return MeasuredScale(scale, COVERAGE_FACTOR * scale * relative)


def _of_board(board: Board, pitch_mm: float) -> tuple[float, float]:
    """Return mm per pixel on one board and its standard uncertainty."""
    plane = plane_to_frame(board, pitch_mm)
    places = board.plane_mm(pitch_mm)
    jacobians = [plane.jacobian(place) for place in places]
    px_per_mm = np.mean([math.sqrt(abs(float(np.linalg.det(each)))) for each in jacobians])
    singular = np.array([np.linalg.svd(each, compute_uv=False) for each in jacobians])
    variation = float(np.ptp(singular) / px_per_mm)
    if variation > MAX_VARIATION:
        raise ValueError(
            f"{board.name}: the camera looks at an angle: the scale varies by {variation:.1%} over "
            f"the board, at most {MAX_VARIATION:.0%} is one scale; run edge-calibrate rectify first"
        )
    reach_px = float(np.sqrt(((board.corners_xy - board.corners_xy.mean(axis=0)) ** 2).sum()))
    of_corners = plane.residual_px / reach_px
    of_tilt = variation / 2 / math.sqrt(3)
    scale = 1 / float(px_per_mm)
    return scale, scale * math.hypot(of_corners, of_tilt)
