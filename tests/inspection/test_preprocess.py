from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.inspection.preprocess import shrink, tile_boxes, to_network, views

SIZES = [(224, 224), (256, 256), (320, 256), (288, 384), (640, 512)]


def picture(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    rough = rng.integers(0, 255, (height // 64, width // 64, 3), np.uint8)
    return cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("size_wh", SIZES)
def test_shrinking_in_steps_is_averaging(size_wh: tuple[int, int]) -> None:
    frame = picture(1024, 1280)
    direct = cv2.resize(frame, size_wh, interpolation=cv2.INTER_AREA).astype(int)
    stepped = shrink(frame, size_wh).astype(int)
    assert stepped.shape == direct.shape
    assert np.abs(stepped - direct).mean() < 1.0
    assert np.abs(stepped - direct).max() <= 8


@pytest.mark.parametrize("size_wh", SIZES)
def test_a_texture_finer_than_the_network_becomes_grey_and_not_moire(
    size_wh: tuple[int, int],
) -> None:
    checks = np.indices((1024, 1280)).sum(0) % 2 * 254
    frame = np.repeat(checks[..., None], 3, axis=2).astype(np.uint8)
    shrunk = shrink(frame, size_wh)
    assert shrunk.std() < 2
    assert abs(shrunk.mean() - 127) < 2


def test_a_frame_at_network_size_is_not_touched() -> None:
    frame = picture(256, 320)
    assert shrink(frame, (320, 256)) is frame


def test_enlarging() -> None:
    frame = np.full((10, 10, 3), 77, np.uint8)
    assert (shrink(frame, (32, 32)) == 77).all()


def test_channels_arrive_as_rgb() -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[..., 0] = 250  # blue
    out = np.zeros((32, 32, 3), np.uint8)
    to_network(frame, (32, 32), out)
    assert out[0, 0].tolist() == [0, 0, 250]


@pytest.mark.parametrize("tiles_wh", [(1, 1), (2, 1), (3, 2), (4, 4)])
@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.3])
def test_tiles_cover_the_frame_and_are_equal(tiles_wh: tuple[int, int], overlap: float) -> None:
    frame_wh = (1283, 967)
    boxes = tile_boxes(frame_wh, tiles_wh, overlap)
    assert len(boxes) == tiles_wh[0] * tiles_wh[1]
    assert len({(w, h) for _, _, w, h in boxes}) == 1
    covered = np.zeros(frame_wh[::-1], bool)
    for x, y, w, h in boxes:
        assert x >= 0
        assert y >= 0
        assert x + w <= frame_wh[0]
        assert y + h <= frame_wh[1]
        covered[y : y + h, x : x + w] = True
    assert covered.mean() > 0.995, "rounding may lose a line between tiles without overlap"
    if overlap:
        assert covered.all()


def test_views_share_the_frame() -> None:
    frame = picture(128, 128)
    tiles = views(frame, (2, 2), 0.25)
    assert all(np.shares_memory(tile, frame) for tile in tiles)
