from __future__ import annotations

import numpy as np
import pytest

from edge.geometry.checkerboard import find_board
from tests.support.checkerboards import BENT, STRAIGHT, Pose, corners_mm, project, render

POSES = (
    Pose(), Pose((20, 0, 5), (-30, -20)), Pose((0, 25, 185), (30, 20)), Pose((-15, 10, 90)),
)  # fmt: skip


@pytest.mark.parametrize("camera", [STRAIGHT, BENT])
@pytest.mark.parametrize("pose", POSES)
def test_corners_are_found_to_a_fraction_of_a_pixel(camera, pose) -> None:
    board = find_board(render(camera, pose), (9, 6), "a.png")
    truth = project(corners_mm(), camera, pose)
    away = min((board.corners_xy - t for t in (truth, truth[::-1])), key=lambda d: abs(d).max())
    assert np.sqrt((away**2).mean()) < 0.06
    assert abs(away).max() < 0.3


@pytest.mark.parametrize("turn", [0, 20, 90, 180, 200, 270])
def test_rows_run_to_the_right_or_down(turn) -> None:
    grid = find_board(render(STRAIGHT, Pose((0, 0, turn))), (9, 6), "a").corners_xy.reshape(6, 9, 2)
    along, across = grid[0, -1] - grid[0, 0], grid[-1, 0] - grid[0, 0]
    assert along[np.argmax(abs(along))] > 0
    assert along[0] * across[1] - along[1] * across[0] > 0, "mirrored"


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (render(STRAIGHT, Pose(), blur_px=1.9), "the board is blurred: expected edges of at most"),
        (render(STRAIGHT, Pose(), inner_wh=(8, 5)), "found 8x5; --board counts inner corners"),
        (render(STRAIGHT, Pose((0, 0, 0), (70, 0))), "no board with 9x6 inner corners"),
        (np.full((480, 640, 3), 128, np.uint8), "no board with 9x6 inner corners"),
        (render(STRAIGHT, Pose(distance_mm=800.0)), "no board with 9x6 inner corners"),
    ],
)
def test_a_bad_board_is_refused_in_one_line(frame, problem) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        find_board(frame, (9, 6), "p.png")
    assert str(caught.value).startswith("p.png: ")
    assert "\n" not in str(caught.value)
