"""Frames that are no whole picture of the product, against limits learned from good ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.inspection.frame_check import FrameCheck
from edge.inspection.frame_statistics import NAMES, measure
from edge.toolchain.packing.frame_limits import fit_limits, frame_format

Image = NDArray[np.uint8]
WIDTH, HEIGHT = 160, 120


def good(seed: int, *, is_grey: bool = False) -> Image:
    """A part on a belt: brown with texture and a darker window, lit and placed a bit otherwise."""
    rng = np.random.default_rng(seed)
    frame = np.zeros((HEIGHT, WIDTH, 3), np.float64)
    frame[:] = (70, 75, 80)
    x, y = 30 + rng.integers(-3, 4), 20 + rng.integers(-3, 4)
    frame[y : y + 80, x : x + 100] = (90, 130, 180)
    frame[y + 20 : y + 50, x + 20 : x + 50] = (40, 60, 90)
    frame = cv2.GaussianBlur(frame, (0, 0), 0.8) * rng.uniform(0.93, 1.07)
    frame += rng.normal(0, 4, frame.shape)
    picture = np.clip(np.rint(frame), 0, 255).astype(np.uint8)
    if is_grey:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return picture


def learned(*, is_grey: bool = False) -> FrameCheck:
    frames = [measure(good(seed, is_grey=is_grey)) for seed in range(40)]
    return FrameCheck(frame_format(frames), fit_limits(frames, [str(seed) for seed in range(40)]))


@pytest.fixture(scope="module")
def check() -> FrameCheck:
    return learned()


def changed(make: Callable[[Image], None]) -> Image:
    frame = good(200)
    make(frame)
    return frame


def lower(value: int) -> Image:
    return changed(lambda frame: frame[HEIGHT // 2 :].fill(value))


def last_row_repeated(frame: Image) -> None:
    frame[70:] = frame[69]


def copied_band(frame: Image) -> None:
    frame[60:] = frame[:60]


def bad_frames() -> Iterator[tuple[str, Image]]:
    part, other = good(200), good(201)
    ramp = np.linspace(0, 255, WIDTH).astype(np.uint8)
    rng = np.random.default_rng(0)
    yield "lower half black", lower(0)
    yield "lower half white", lower(255)
    yield "lower half grey", lower(128)
    yield "last row repeated", changed(last_row_repeated)
    yield "a band twice", changed(copied_band)
    yield "torn", np.vstack((part[:60], np.roll(other, 40, axis=1)[60:]))
    yield "rolled", np.roll(part, 60, axis=0)
    yield "gradient", np.broadcast_to(ramp[None, :, None], part.shape).copy()
    yield "black", np.zeros_like(part)
    yield "white", np.full_like(part, 255)
    yield "empty belt", np.full_like(part, (70, 75, 80))
    yield "noise", rng.integers(0, 256, part.shape, np.uint8)
    yield "stripes", np.where(np.arange(HEIGHT)[:, None, None] // 8 % 2, part, 0).astype(np.uint8)
    yield "dark", part // 4
    yield "bright", np.clip(part.astype(int) + 110, 0, 255).astype(np.uint8)
    yield "blurred", cv2.GaussianBlur(part, (0, 0), 4)
    yield "inverted", 255 - part
    yield "red and blue swapped", np.ascontiguousarray(part[..., ::-1])
    yield "quarter turn", cv2.resize(np.ascontiguousarray(np.rot90(part)), (WIDTH, HEIGHT))
    yield "interlaced", np.where(np.arange(HEIGHT)[:, None, None] % 2, np.roll(other, 9, 1), part)
    yield "dead columns", np.where(np.arange(WIDTH)[None, :, None] % 8, part, 0).astype(np.uint8)


BAD = dict(bad_frames())


@pytest.mark.parametrize("kind", BAD)
def test_a_frame_that_is_no_whole_picture_is_noticed(check: FrameCheck, kind: str) -> None:
    finding = check.find(np.ascontiguousarray(BAD[kind]))
    assert finding is not None
    assert "expected" in finding.detail or "of good frames" in finding.detail


def test_other_good_frames_are_not_noticed(check: FrameCheck) -> None:
    found = [check.find(good(seed)) for seed in range(1000, 1200)]
    assert [finding for finding in found if finding is not None] == []


def test_another_size_is_refused_by_name(check: FrameCheck) -> None:
    finding = check.find(good(200)[:60])
    assert finding is not None
    assert finding.is_refused
    assert finding.detail.startswith("frame size: expected 160x120, got 160x60; check")


def test_grey_frames_of_a_coloured_product_are_refused_and_the_other_way_round(
    check: FrameCheck,
) -> None:
    finding = check.find(good(200, is_grey=True))
    assert finding is not None
    assert finding.is_refused
    assert finding.detail.startswith("colour: expected colour frames, got grey")
    other = learned(is_grey=True)
    assert other.find(good(200, is_grey=True)) is None
    finding = other.find(good(200))
    assert finding is not None
    assert "expected grey frames, got colour" in finding.detail


def test_a_detail_names_value_and_limits(check: FrameCheck) -> None:
    finding = check.find(good(200) // 4)
    assert finding is not None
    assert not finding.is_refused
    assert " outside " in finding.detail
    assert finding.detail.split(" outside ")[0].rsplit(" ", 1)[0] in NAMES


def test_without_format_and_limits_nothing_is_noticed() -> None:
    assert FrameCheck(None, None).find(np.zeros((4, 4, 3), np.uint8)) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (400, 1), (2, 2), (7, 5), (15, 17), (3, 5000)])
def test_frames_of_any_shape_can_be_measured(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    found = measure(pixels)
    assert found.size_wh == shape[::-1]
    assert np.isfinite(found.values).all()
    assert np.isfinite(found.small).all()
