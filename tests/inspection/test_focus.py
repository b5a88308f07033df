from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.inspection.focus import BINS, measure_aid


def scene(contrast=1.0, noise=3.0, seed=0):
    """Dark and bright shapes on grey, 0..255."""
    pixels = np.full((240, 320, 3), 100, np.float32)
    rng = np.random.default_rng(7)
    for _ in range(60):
        centre = tuple(int(x) for x in rng.integers(0, (320, 240)))
        level = float(rng.integers(40, 160))
        cv2.circle(pixels, centre, int(rng.integers(4, 25)), (level,) * 3, -1)
    noisy = pixels * contrast + np.random.default_rng(seed).normal(0, noise, pixels.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def blurred(pixels, sigma):
    noise = np.random.default_rng(1).normal(0, 3, pixels.shape)
    soft = cv2.GaussianBlur(pixels, (0, 0), sigma).astype(np.float32) + noise
    return np.clip(soft, 0, 255).astype(np.uint8)


def test_sharpness_falls_with_every_step_out_of_focus():
    sharp = scene()
    series = [sharp, *(blurred(sharp, sigma) for sigma in (0.7, 1.0, 1.5, 2.0, 3.0))]
    figures = [measure_aid(pixels).sharpness for pixels in series]
    assert figures == sorted(figures, reverse=True)
    assert figures[0] > 1.5 * figures[-1]


def test_sharpness_hardly_depends_on_the_exposure():
    bright, dim = measure_aid(scene(1.2)), measure_aid(scene(0.6, noise=1.5))
    assert dim.mean < 0.6 * bright.mean
    assert dim.sharpness == pytest.approx(bright.sharpness, rel=0.1)


def test_shares_and_histogram_count_pixels():
    pixels = np.full((10, 20, 3), 128, np.uint8)
    pixels[:2] = 0
    pixels[2:3] = (10, 255, 20)  # one channel at its end is enough
    aid = measure_aid(pixels)
    assert aid.dark == pytest.approx(0.2)
    assert aid.saturated == pytest.approx(0.1)
    assert len(aid.histogram) == BINS
    assert sum(aid.histogram) == pytest.approx(1)
    assert aid.histogram[0] == pytest.approx(0.2)
    assert aid.histogram[128 * BINS // 256] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("level", "advice"), [(0, "lengthen"), (3, "lengthen"), (120, ""), (255, "shorten")]
)
def test_the_advice_follows_the_exposure(level, advice):
    text = measure_aid(np.full((16, 16, 3), level, np.uint8)).advice
    assert text.startswith(advice)
    assert bool(text) == bool(advice)


def test_a_blank_frame_has_no_sharpness():
    assert measure_aid(np.zeros((8, 8, 3), np.uint8)).sharpness == 0
