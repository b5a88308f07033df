from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from edge.geometry.alignment import Alignment
from edge.geometry.frame_unfit import FrameUnfit
from edge.geometry.teaching import teach_alignment

DATA = Path(os.environ.get("EDGE_TEST_DATA", "../shared/data"))
BOX = (200, 150, 120, 100)


def part(size_wh=(640, 480), seed=0):
    """Irregular shapes on a ground: what a template may be taught from."""
    rng = np.random.default_rng(seed)
    picture = np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)
    for _ in range(60):
        at = tuple(int(v) for v in rng.uniform((0, 0), size_wh))
        colour = tuple(int(v) for v in rng.integers(20, 235, 3))
        axes = tuple(int(v) for v in rng.integers(6, 45, 2))
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(picture, at, axes, turn, 0, 360, colour, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), 0.8)


def shifted(picture, box, shift_xy, angle_deg):
    """Turn a picture clockwise about the box's middle, then move it."""
    x, y, w, h = box
    matrix = cv2.getRotationMatrix2D((x + (w - 1) / 2, y + (h - 1) / 2), -angle_deg, 1.0)
    matrix[:, 2] += shift_xy
    size_wh = (picture.shape[1], picture.shape[0])
    return cv2.warpAffine(
        picture, matrix, size_wh, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    ), matrix


@pytest.mark.parametrize(
    ("shift", "angle"),
    [((0, 0), 0), ((0.5, -0.25), 0), ((37.3, -21.8), 4.3), ((-80.6, 60.2), -9.7), ((2.2, 1), 0.1)],
)
def test_place_and_angle_are_found(shift, angle) -> None:
    picture = part()
    alignment = teach_alignment(picture, BOX)
    moved, matrix = shifted(picture, BOX, shift, angle)
    noise = np.random.default_rng(1).normal(0, 3, moved.shape)
    darker = np.clip(moved * 0.8 + 5 + noise, 0, 255).astype(np.uint8)
    found = alignment.find(darker)
    assert np.hypot(*np.subtract(found.shift_xy, shift)) < 0.1
    assert abs(found.angle_deg - angle) < 0.05
    assert found.score > 0.9
    # Points of the taught picture are where the motion put them, and come back.
    points = np.array([[200.0, 150.0], [319, 249], [250, 300], [10, 10]])
    truth = points @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(found.to_frame(points) - truth).max() < 0.3
    assert np.abs(found.from_frame(found.to_frame(points)) - points).max() < 1e-9
    # The part lies again where it was taught.
    x, y, w, h = BOX
    back = found.apply(moved)[y : y + h, x : x + w].astype(int)
    assert np.abs(back - picture[y : y + h, x : x + w]).mean() < 3


def test_any_angle_is_found_if_asked_for() -> None:
    picture = part()
    alignment = teach_alignment(picture, BOX, max_angle_deg=180)
    for angle in (-170.3, 95.5):
        moved, _ = shifted(picture, BOX, (12.4, -7.7), angle)
        found = alignment.find(moved)
        assert abs(found.angle_deg - angle) < 0.1
        assert np.hypot(*np.subtract(found.shift_xy, (12.4, -7.7))) < 0.3


def test_what_is_not_there_is_not_found() -> None:
    picture = part()
    alignment = teach_alignment(picture, BOX, max_shift_px=60)
    others = (
        part(seed=5), np.full_like(picture, 128), np.full_like(picture, 255),
        np.random.default_rng(0).integers(0, 256, picture.shape).astype(np.uint8),
        shifted(picture, BOX, (0, 0), 40)[0], shifted(picture, BOX, (150, 100), 0)[0],
    )  # fmt: skip
    for other in others:
        with pytest.raises(FrameUnfit, match="the template is not found: score") as caught:
            alignment.find(other)
        assert "\n" not in str(caught.value)
    with pytest.raises(FrameUnfit, match="alignment: expected a frame of 640x480, got 320x240"):
        alignment.find(np.zeros((240, 320, 3), np.uint8))


def test_a_part_that_leaves_the_frame_is_not_aligned() -> None:
    picture = part()
    alignment = teach_alignment(picture, BOX, min_score=0.3)
    moved, _ = shifted(picture, BOX, (-225, 0), 0)
    with pytest.raises(FrameUnfit, match="alignment: the template is"):
        alignment.find(moved)


@pytest.mark.parametrize("side", [100, 200, 400])
def test_a_large_frame_is_searched_in_milliseconds(side) -> None:
    picture = part((1280, 1024))
    box = (400, 300, side, side)
    alignment = teach_alignment(picture, box)
    moved, _ = shifted(picture, box, (63.3, -40.2), 5.5)
    times = []
    for _ in range(5):
        start = time.thread_time()
        alignment.find(moved)
        times.append(time.thread_time() - start)
    # Processor time of this thread, some 3 to 15 ms: other processes do not count.
    assert statistics.median(times) < 0.1


def test_a_box_that_tells_nothing_is_refused() -> None:
    picture = part()

    def problem(view, box, **options):
        with pytest.raises(ValueError, match=r"\w") as caught:
            teach_alignment(view, box, **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "inside the picture of 640x480" in problem(picture, (600, 0, 100, 100))
    assert "inside the picture of 640x480" in problem(picture, (-1, 0, 100, 100))
    assert "32 to 512 pixels a side, got 20x100" in problem(picture, (0, 0, 20, 100))
    flat = np.full_like(picture, 128)
    assert "too little to tell its place" in problem(flat, BOX)
    stripes = np.zeros_like(picture)
    stripes[:, ::16] = stripes[:, 1::16] = stripes[:, 2::16] = 200
    assert "choose" in problem(stripes, BOX)
    edge = np.zeros_like(picture)
    edge[:, 260:] = 200
    assert "too little to tell its place" in problem(edge, BOX, max_shift_px=50)
    twice = picture.copy()
    twice[150:250, 450:570] = picture[150:250, 200:320]
    assert "looks like the place at 450,150" in problem(twice, BOX)


def test_a_document_that_does_not_fit_is_refused() -> None:
    good = teach_alignment(part(), BOX).model_dump()
    assert Alignment(**good) == teach_alignment(part(), BOX)
    for change in (
        {"template": "no base64!"}, {"template": good["template"][:200]}, {"template": "aGFsbG8="},
        {"box_xywh": (200, 150, 121, 100)}, {"box_xywh": (600, 150, 120, 100)},
        {"min_score": 1.0}, {"max_angle_deg": 200},
    ):  # fmt: skip
        with pytest.raises(ValidationError):
            Alignment(**{**good, **change})


@pytest.mark.parametrize("product", ["cookie", "magnetic_tile"])
def test_real_pictures_are_aligned(product) -> None:
    if not (DATA / product).is_dir():
        pytest.skip(f"{DATA / product} is not here; set EDGE_TEST_DATA")
    path = sorted((DATA / product / "train" / "good").iterdir())[0]
    picture = cv2.imread(str(path))
    height, width = picture.shape[:2]
    side = int(min(width, height) * 0.4)
    box = ((width - side) // 2, (height - side) // 2, side, side)
    alignment = teach_alignment(picture, box)
    rng = np.random.default_rng(0)
    for _ in range(6):
        shift, angle = rng.uniform(-0.15, 0.15, 2) * (width, height), rng.uniform(-9, 9)
        moved, _ = shifted(picture, box, shift, angle)
        noisy = np.clip(moved + rng.normal(0, 2, moved.shape), 0, 255).astype(np.uint8)
        found = alignment.find(noisy)
        assert np.hypot(*(np.array(found.shift_xy) - shift)) < 0.3
        assert abs(found.angle_deg - angle) < 0.1
