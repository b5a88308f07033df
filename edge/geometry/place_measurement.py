"""Measures the sections of a place file on picture files, through the sections before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from edge.config.reader import read_settings
from edge.errors import DataError
from edge.geometry.board_pictures import find_boards, picture_files, read_frame, view_of
from edge.geometry.frame_unfit import size_of
from edge.geometry.lens import measure_lens
from edge.geometry.place import PlaceSections, digits_of
from edge.geometry.points import Points
from edge.geometry.rectification import Rectification, rectify_by_board
from edge.geometry.scale import MeasuredScale, Method, Scale, scale_by_boards, scale_by_length


@dataclass(frozen=True, slots=True)
class Measured:
    """Sections to write, and lines for people that say how good they are."""

    sections: dict[str, BaseModel]
    lines: tuple[str, ...]


def read_sections(path: Path) -> PlaceSections:
    """Read a place file that may be absent, and whose sections may not fit together.

    Raises:
        ConfigError: listing every problem of the file.
    """
    return read_settings(path, PlaceSections) if path.exists() else PlaceSections()


def measured_lens(
    pictures: Sequence[Path], inner_wh: tuple[int, int], pitch_mm: float, today: date
) -> Measured:
    """Measure the lens on pictures of a board.

    Raises:
        DataError: in one line, why the pictures do not tell the lens.
    """
    boards, size_wh = find_boards(picture_files(pictures), inner_wh, PlaceSections())
    try:
        found = measure_lens(boards, pitch_mm, size_wh, today)
    except ValueError as error:
        raise DataError(f"lens: {_first_line(error)}") from error
    error_px = found.lens.reprojection_px or 0.0
    focal = " x ".join(f"{value:.1f}" for value in found.lens.focal_xy_px)
    reprojection = (
        f"lens: reprojection error {error_px:.3f} px over {len(boards)} pictures, "
        f"{found.worst_px:.3f} px in the worst"
    )
    lines = (
        reprojection,
        f"lens: focal length {focal} px, uncertain by {2 * found.focal_deviation:.2%} (k = 2)",
    )
    return Measured({"lens": found.lens}, lines)


def measured_rectification(
    picture: Path, inner_wh: tuple[int, int], pitch_mm: float, before: PlaceSections, today: date
) -> Measured:
    """Measure the plane of the parts on a board that lies on it, and the scale seen from above.

    Raises:
        DataError: in one line, why the picture does not tell the plane.
    """
    through = PlaceSections(lens=before.lens)
    (board,), size_wh = find_boards([picture], inner_wh, through)
    try:
        plane = rectify_by_board(board, pitch_mm, size_wh, today)
        plane = plane.model_copy(update={"measured_through": digits_of(before.lens)})
        seen = replace(board, corners_xy=plane.from_frame(board.corners_xy))
        scale = scale_by_boards([seen], pitch_mm)
    except ValueError as error:
        raise DataError(f"rectification: {_first_line(error)}") from error
    line = f"rectification: reprojection error {plane.reprojection_px:.3f} px"
    return _with_scale(through, plane, scale, "checkerboard", today, line)


def rectification_by_points(
    points_xy: Points,
    rectangle_mm: tuple[float, float],
    before: PlaceSections,
    frame_wh: tuple[int, int],
    today: date,
) -> Measured:
    """Rectify by the corners of a rectangle of known size, in pixels of the frame.

    The rectified view is the rectangle itself, at the scale of its longest sides in the frame.

    Raises:
        DataError: in one line, why the points do not tell a plane.
    """
    through = PlaceSections(lens=before.lens)
    try:
        corners = points_xy if before.lens is None else before.lens.from_frame(points_xy)
        sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
        px_per_mm = float((sides / (*rectangle_mm, *rectangle_mm)).max())
        width, height = (round(side * px_per_mm) + 1 for side in rectangle_mm)
        a, b, c, d = ((float(x), float(y)) for x, y in corners)
        plane = Rectification(
            points_xy=(a, b, c, d),
            size_wh=(width, height),
            frame_wh=frame_wh,
            measured_on=today,
            measured_through=digits_of(before.lens),
        )
        scale = scale_by_length(plane.from_frame(corners[:2]), rectangle_mm[0])
    except ValueError as error:
        raise DataError(f"rectification: {_first_line(error)}") from error
    line = f"rectification: the view has {width}x{height} px"
    return _with_scale(through, plane, scale, "length", today, line)


def measured_scale(
    pictures: Sequence[Path],
    inner_wh: tuple[int, int],
    pitch_mm: float,
    pitch_uncertainty_mm: float,
    before: PlaceSections,
    today: date,
) -> Measured:
    """Measure the scale of the place's view on boards that lie where parts will lie.

    Raises:
        DataError: in one line, why the pictures tell no scale.
    """
    place = view_of(before)
    boards, _ = find_boards(picture_files(pictures), inner_wh, place)
    try:
        scale = scale_by_boards(boards, pitch_mm, pitch_uncertainty_mm)
    except ValueError as error:
        raise DataError(f"scale: {_first_line(error)}") from error
    return Measured(*_scale_section(place, scale, "checkerboard", today))


def scale_between(
    picture: Path, points_xy: Points, length_mm: float, before: PlaceSections, today: date
) -> Measured:
    """Measure the scale on a known length between two points, in pixels of the frame.

    Raises:
        DataError: in one line, why the points tell no scale.
    """
    place = view_of(before)
    size_wh = size_of(read_frame(picture))
    if ((points_xy < 0) | (points_xy > np.array(size_wh) - 1)).any():
        raise DataError(
            f"{picture}: expected points inside {size_wh[0]}x{size_wh[1]} pixels; check --between"
        )
    try:
        scale = scale_by_length(place.from_frame(points_xy), length_mm)
    except ValueError as error:
        raise DataError(f"scale: {_first_line(error)}") from error
    return Measured(*_scale_section(place, scale, "length", today))


def _with_scale(
    through: PlaceSections,
    plane: Rectification,
    scale: MeasuredScale,
    method: Method,
    today: date,
    line: str,
) -> Measured:
    view = PlaceSections(lens=through.lens, rectification=plane)
    sections, lines = _scale_section(view, scale, method, today)
    return Measured({"rectification": plane, **sections}, (line, *lines))


def _scale_section(
    view: PlaceSections, scale: MeasuredScale, method: Method, today: date
) -> tuple[dict[str, BaseModel], tuple[str, ...]]:
    section = Scale(
        mm_per_px=scale.mm_per_px,
        uncertainty_mm_per_px=scale.uncertainty_mm_per_px,
        method=method,
        measured_on=today,
        measured_through=view.through,
    )
    share = scale.uncertainty_mm_per_px / scale.mm_per_px
    line = (
        f"scale: {scale.mm_per_px:.6g} mm per pixel, uncertainty {scale.uncertainty_mm_per_px:.2g} "
        f"({share:.2%}, k = 2)"
    )
    return {"scale": section}, (line,)


def _first_line(error: ValueError) -> str:
    """Return what a document or a measurement says; pydantic says more than one line."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    return str(errors()[0]["msg"]).removeprefix("Value error, ")
