from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.cameras.factory import make_source
from edge.config.camera import CameraSettings
from edge.data.near_duplicates import SeenPictures


def parts(count):
    source = make_source(
        CameraSettings(source=f"test://conveyor?parts={count}&defect_rate=0&size=320x240")
    )
    source.open()
    return [frame.pixels_bgr for frame in iter(source.read, None)]


def taken_again(pixels, gain=1.0, noise=4.0, seed=0):
    noisy = pixels * gain + np.random.default_rng(seed).normal(0, noise, pixels.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def test_different_parts_are_not_alike():
    seen = SeenPictures()
    for pixels in parts(150):
        assert not seen.has_alike(pixels)
        seen.add(pixels)
    assert len(seen) == 150


@pytest.mark.parametrize("gain", [0.95, 1.0, 1.05])
def test_a_part_that_did_not_move_is_alike_whatever_noise_and_lamp_do(gain):
    seen = SeenPictures()
    taken = parts(80)
    for pixels in taken:
        seen.add(pixels)
    for number, pixels in enumerate(taken):
        again = taken_again(pixels, gain, seed=number)
        assert seen.has_alike(again), number
        _, data = cv2.imencode(".jpg", again, [cv2.IMWRITE_JPEG_QUALITY, 85])
        assert seen.has_alike(cv2.imdecode(data, cv2.IMREAD_COLOR)), number


def test_a_small_mark_or_a_shift_makes_another_picture():
    pixels = parts(1)[0]
    seen = SeenPictures()
    seen.add(pixels)
    marked = pixels.copy()
    cv2.circle(marked, (160, 120), 6, (0, 0, 0), -1)
    assert not seen.has_alike(marked)
    assert not seen.has_alike(np.roll(pixels, 4, axis=1))


def test_blank_pictures_are_alike():
    seen = SeenPictures()
    seen.add(np.zeros((48, 64, 3), np.uint8))
    assert seen.has_alike(np.full((48, 64, 3), 7, np.uint8))
    assert not SeenPictures().has_alike(np.zeros((48, 64, 3), np.uint8))
