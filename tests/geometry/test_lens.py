from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from pydantic import ValidationError

from edge.geometry.board_plane import plane_to_frame
from edge.geometry.checkerboard import find_board
from edge.geometry.frame_unfit import FrameUnfit
from edge.geometry.lens import Lens, measure_lens
from tests.support.checkerboards import BENT, ROUND_THE_FRAME, STRAIGHT, Pose, render

DAY = date(2026, 11, 2)
TRUE = Lens(
    size_wh=BENT.size_wh,
    focal_xy_px=(BENT.focal_px, BENT.focal_px),
    centre_xy_px=BENT.centre_xy,
    distortion=BENT.distortion,
)


def test_a_rendered_lens_is_measured_to_a_third_of_a_pixel(boards) -> None:
    measured = measure_lens(boards, 8.0, BENT.size_wh, DAY)
    assert measured.lens.reprojection_px < 0.1
    assert measured.focal_deviation < 0.005
    x, y = np.meshgrid(np.linspace(0, 639, 20), np.linspace(0, 479, 20))
    frame = np.column_stack([x.ravel(), y.ravel()])
    rays = (measured.lens.from_frame(frame) - measured.lens.centre_xy_px) / (
        measured.lens.focal_xy_px
    )
    true_rays = (TRUE.from_frame(frame) - TRUE.centre_xy_px) / TRUE.focal_xy_px
    assert np.abs(rays - true_rays).max() * BENT.focal_px < 3, (
        "absolute rays, with the focal length"
    )
    # What matters in the picture: a plane is a plane again. Best plane between both views:
    for pose in (Pose((25, 10, 0), (20, 10)), Pose((0, 0, 30), (-20, 10))):
        bent = find_board(render(BENT, pose, seed=99), (9, 6), "bent")
        straight = find_board(measured.lens.apply(render(BENT, pose, seed=99)), (9, 6), "straight")
        assert plane_to_frame(straight, 8.0).residual_px < 0.1
        assert plane_to_frame(bent, 8.0).residual_px > 0.15
        assert np.abs(straight.corners_xy - measured.lens.from_frame(bent.corners_xy)).max() < 0.3


def test_points_go_there_and_back() -> None:
    points = np.random.default_rng(0).uniform((0, 0), (639, 479), (200, 2))
    assert np.abs(TRUE.to_frame(TRUE.from_frame(points)) - points).max() < 1e-6
    rays = (points - BENT.centre_xy) / BENT.focal_px
    assert np.abs(TRUE.to_frame(points) - BENT.pixels(rays)).max() < 1e-9


def test_a_lens_without_distortion_changes_no_pixel() -> None:
    plain = TRUE.model_copy(update={"distortion": (0.0, 0.0, 0.0, 0.0, 0.0)})
    frame = render(STRAIGHT, Pose())
    assert np.array_equal(plain.apply(frame), frame)


def test_a_frame_of_another_size_is_refused() -> None:
    with pytest.raises(FrameUnfit, match="lens: expected a frame of 640x480, got 320x240"):
        TRUE.apply(np.zeros((240, 320, 3), np.uint8))


def test_a_lens_that_folds_the_picture_is_refused() -> None:
    with pytest.raises(ValidationError, match="folds the picture"):
        Lens(**{**TRUE.model_dump(), "distortion": (-3.0, 0, 0, 0, 0)})


def test_what_does_not_tell_a_lens_is_refused(boards) -> None:
    def problem(chosen, size_wh=BENT.size_wh):
        with pytest.raises(ValueError, match=r"\w") as caught:
            measure_lens(chosen, 8.0, size_wh, DAY)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "expected at least 5 pictures of the board, found 4" in problem(boards[:4])
    assert "all over the frame" in problem([boards[0]] * 5)
    flat = [
        find_board(render(BENT, Pose((0, 0, 0), at), seed=i), (9, 6), str(i))
        for i, at in enumerate([(-35, -24), (35, 24), (-35, 24), (35, -24), (0, 0)])
    ]
    assert "tilt the board" in problem(flat)
    assert len(ROUND_THE_FRAME) == len(boards)
    mixed = [*boards[:6], type(boards[0])("odd.png", (9, 6), boards[6].corners_xy + _waves())]
    assert "worst in odd.png" in problem(mixed)


def _waves():
    return 8 * np.sin(np.arange(108.0).reshape(54, 2))
