"""Grey pictures without copies: whatever takes a frame does to them what it does to any other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import cv2
import numpy as np
import pytest

from edge.data.near_duplicates import SeenPictures
from edge.frame import Frame
from edge.grey_picture import as_bgr, plane_of, solid
from edge.inspection.focus import measure_aid
from edge.inspection.frame_statistics import measure
from edge.inspection.overlay import draw_overlay
from edge.inspection.preprocess import to_network, views
from edge.outputs.raw_archive import encode_frame
from edge.picture_file import decode_picture, encode_picture
from edge.result import Inspection, Reason, StageTimes, Verdict


def plane(height: int = 100, width: int = 130, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def copied(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def test_it_is_a_picture_of_three_equal_channels_in_the_memory_of_one() -> None:
    grey = plane()
    shown = as_bgr(grey)
    assert np.array_equal(shown, copied(grey))
    assert np.shares_memory(shown, grey)
    assert not shown.flags.writeable
    assert np.shares_memory(plane_of(shown), grey)
    now = datetime.now(timezone.utc)
    assert Frame("top", 0, 0, now, shown).size_wh == (130, 100)


def test_only_such_pictures_have_a_plane_and_parts_of_them_too() -> None:
    grey = plane()
    assert plane_of(copied(grey)) is None
    assert plane_of(copied(grey)[:, ::2]) is None
    assert np.array_equal(plane_of(as_bgr(grey)[10:20, 30:70]), grey[10:20, 30:70])


def test_solid_repeats_the_plane_and_leaves_others_alone() -> None:
    grey = plane()
    assert np.array_equal(solid(as_bgr(grey)), copied(grey))
    assert solid(as_bgr(grey)).flags.c_contiguous
    colour = copied(grey)
    assert solid(colour) is colour


@pytest.mark.parametrize("size_wh", [(224, 224), (256, 256), (320, 256), (31, 57), (400, 300)])
@pytest.mark.parametrize(
    "frame_wh", [(1280, 1024), (640, 480), (256, 256), (1283, 967), (512, 512), (97, 61)]
)
def test_the_network_sees_the_same_levels(
    frame_wh: tuple[int, int], size_wh: tuple[int, int]
) -> None:
    grey = plane(frame_wh[1], frame_wh[0])
    expected, found = (np.zeros((size_wh[1], size_wh[0], 3), np.uint8) for _ in range(2))
    to_network(copied(grey), size_wh, expected)
    to_network(as_bgr(grey), size_wh, found)
    assert np.array_equal(found, expected)
    for whole, shown in zip(views(copied(grey), (3, 2), 0.2), views(as_bgr(grey), (3, 2), 0.2)):
        to_network(whole, size_wh, expected)
        to_network(shown, size_wh, found)
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("frame_wh", [(1280, 1024), (640, 480), (1283, 967), (97, 61), (15, 9)])
def test_it_is_measured_alike(frame_wh: tuple[int, int]) -> None:
    grey = cv2.GaussianBlur(plane(frame_wh[1], frame_wh[0]), (0, 0), 1.5)
    grey[: frame_wh[1] // 4] = 7
    expected, found = measure(copied(grey)), measure(as_bgr(grey))
    assert found.size_wh == expected.size_wh
    assert np.array_equal(found.values, expected.values)
    assert np.array_equal(found.small, expected.small)


def inspection() -> Inspection:
    now = datetime.now(timezone.utc)
    return Inspection(
        Verdict.FAIL, Reason.SCORE_ABOVE_THRESHOLD, "", "top", 0, now, now, (130, 100),
        StageTimes(), score=2.0, threshold=1.0,
    )  # fmt: skip


def drawn(pixels: np.ndarray) -> np.ndarray:
    return draw_overlay(pixels, np.full((8, 8), 2.0, np.float32), inspection())


USES: list[Callable[[np.ndarray], object]] = [encode_picture, encode_frame, measure_aid]


@pytest.mark.parametrize("use", USES)
def test_files_and_aids_are_the_same(use: Callable[[np.ndarray], object]) -> None:
    grey = plane()
    assert use(as_bgr(grey)) == use(copied(grey))


def test_it_is_drawn_on_and_kept_and_found_again() -> None:
    grey = plane()
    assert np.array_equal(drawn(as_bgr(grey)), drawn(copied(grey)))
    assert np.array_equal(decode_picture(encode_frame(as_bgr(grey))), copied(grey))
    seen = SeenPictures()
    seen.add(as_bgr(grey))
    assert seen.has_alike(copied(grey))
    assert not seen.has_alike(as_bgr(plane(seed=1)))
