from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from edge.geometry.checkerboard import find_board
from edge.geometry.scale import Scale, scale_by_boards, scale_by_length
from tests.support.checkerboards import STRAIGHT, Pose, render


def board(pose, seed=0):
    return find_board(render(STRAIGHT, pose, seed=seed), (9, 6), "a.png")


@pytest.mark.parametrize("distance", [150.0, 200.0, 300.0])
def test_the_true_scale_lies_within_the_uncertainty(distance) -> None:
    pose = Pose((0.3, -0.2, 11), (4, -3), distance)
    found = scale_by_boards([board(pose)], 8.0)
    truth = distance / STRAIGHT.focal_px
    assert abs(found.mm_per_px - truth) < found.uncertainty_mm_per_px < 0.01 * truth


def test_pictures_that_differ_widen_the_uncertainty() -> None:
    near, far = board(Pose(distance_mm=198)), board(Pose(distance_mm=202))
    one, both = scale_by_boards([near], 8.0), scale_by_boards([near, far], 8.0)
    assert both.mm_per_px == pytest.approx(200 / 700, rel=2e-4)
    assert both.uncertainty_mm_per_px > 5 * one.uncertainty_mm_per_px


def test_a_board_of_doubtful_pitch_widens_the_uncertainty() -> None:
    found = scale_by_boards([board(Pose())], 8.0, pitch_uncertainty_mm=0.08)
    assert found.uncertainty_mm_per_px == pytest.approx(0.01 * found.mm_per_px, rel=0.05)


def test_a_tilted_board_has_no_one_scale() -> None:
    with pytest.raises(ValueError, match=r"a\.png: the camera looks at an angle"):
        scale_by_boards([board(Pose((15, 0, 0)))], 8.0)


def test_a_known_length() -> None:
    found = scale_by_length([(100, 100), (400, 500)], 25.0)
    assert found.mm_per_px == pytest.approx(0.05)
    # Two ends of half a pixel each, doubled: 1.41 of 500 px.
    assert found.uncertainty_mm_per_px == pytest.approx(0.05 * np.sqrt(2) / 500)
    with pytest.raises(ValueError, match=r"at least 10 px apart, found 5\.0 px"):
        scale_by_length([(0, 0), (3, 4)], 25.0)


@pytest.mark.parametrize(
    "wrong", [{"mm_per_px": 0}, {"mm_per_px": -1}, {"mm_per_px": float("nan")},
              {"mm_per_px": 1, "uncertainty_mm_per_px": 1.5}],
)  # fmt: skip
def test_a_scale_that_means_nothing_is_refused(wrong) -> None:
    with pytest.raises(ValidationError):
        Scale(**wrong)
