from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from pydantic import ValidationError

from edge.geometry.checkerboard import find_board
from edge.geometry.frame_unfit import FrameUnfit
from edge.geometry.rectification import Rectification, rectify_by_board
from tests.support.checkerboards import STRAIGHT, Pose, corners_mm, project, render

DAY = date(2026, 11, 2)


@pytest.mark.parametrize("turn", [(20, 0, 5), (-10, 25, -20), (15, -15, 90), (0, 0, 0)])
def test_a_tilted_plane_is_seen_from_above(turn) -> None:
    pose = Pose(turn, (10, -5), 200)
    frame = render(STRAIGHT, pose)
    board = find_board(frame, (9, 6), "a.png")
    found = rectify_by_board(board, 8.0, (640, 480), DAY)
    view = found.apply(frame)
    assert view.shape == frame.shape
    # All squares are squares of one size, where the truth of the pose has its corners.
    corners = found.from_frame(project(corners_mm(), STRAIGHT, pose)).reshape(6, 9, 2)
    across, down = np.diff(corners, axis=1).reshape(-1, 2), np.diff(corners, axis=0).reshape(-1, 2)
    sides = np.linalg.norm(np.concatenate([across, down]), axis=1)
    assert np.ptp(sides) < 0.3
    cosine = across.mean(axis=0) @ down.mean(axis=0) / sides.mean() ** 2
    assert abs(np.degrees(np.arcsin(cosine))) < 0.1
    # The picture shows them there, and the middle of the board has not moved or turned.
    seen = find_board(view, (9, 6), "view").corners_xy
    expected = found.from_frame(board.corners_xy)
    assert np.abs(seen - expected).max() < 0.3
    middle = board.corners_xy.mean(axis=0)
    assert np.abs(seen.mean(axis=0) - middle).max() < 8
    before, after = (c[8] - c[0] for c in (board.corners_xy, seen))
    cosine = before @ after / np.linalg.norm(before) / np.linalg.norm(after)
    assert np.degrees(np.arccos(min(1.0, cosine))) < 5


def test_four_points_become_the_corners() -> None:
    found = Rectification(
        points_xy=((100, 50), (500, 80), (520, 400), (90, 380)), size_wh=(200, 160)
    )
    corners = [(0, 0), (199, 0), (199, 159), (0, 159)]
    assert np.allclose(found.to_frame(corners), found.points_xy, atol=1e-3)
    assert np.allclose(found.from_frame(found.points_xy), corners, atol=1e-3)
    points = np.random.default_rng(0).uniform(0, 150, (50, 2))
    assert np.allclose(found.from_frame(found.to_frame(points)), points, atol=1e-6)
    frame = np.zeros((480, 640, 3), np.uint8)
    x, y = np.rint(found.to_frame([(60, 70)])[0]).astype(int)
    frame[y - 2 : y + 3, x - 2 : x + 3] = 255
    assert found.apply(frame)[70, 60].min() > 100


@pytest.mark.parametrize(
    "points",
    [
        ((0, 0), (10, 0), (0, 10), (10, 10)),
        ((0, 0), (0, 10), (10, 10), (10, 0)),
        ((0, 0), (10, 0), (20, 0), (0, 10)),
        ((0, 0), (0, 0), (0, 0), (0, 0)),
    ],
)
def test_points_that_are_no_corners_are_refused(points) -> None:
    with pytest.raises(ValidationError, match="clockwise from the top left"):
        Rectification(points_xy=points, size_wh=(100, 100))


def test_a_plane_seen_too_flat_is_refused() -> None:
    camera = STRAIGHT
    board = find_board(render(camera, Pose((62, 0, 0), (0, 0), 200)), (9, 6), "flat.png")
    with pytest.raises(ValueError, match=r"flat\.png: the plane is tilted too far"):
        rectify_by_board(board, 8.0, (640, 480), DAY)


def test_a_frame_of_another_size_is_refused() -> None:
    found = Rectification(
        points_xy=((0, 0), (99, 0), (99, 99), (0, 99)), size_wh=(100, 100), frame_wh=(640, 480)
    )
    with pytest.raises(FrameUnfit, match="rectification: expected a frame of 640x480"):
        found.apply(np.zeros((100, 100), np.uint8))
