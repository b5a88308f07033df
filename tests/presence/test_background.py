"""The learned belt follows the light, and its level never creeps."""

from __future__ import annotations

import numpy as np
import pytest

from edge.presence.background import Background

# Bright specks on dark rubber: its median lies below its mean.
GRAIN = (38 + np.random.default_rng(1).gamma(1.5, 4, (3, 16, 60))).astype(np.float32)


def seen(light: float, frame: int = 0) -> np.ndarray:
    """A frame of belt; its grain moves, and the sensor has noise."""
    noise = np.random.default_rng(frame).normal(0, 2, GRAIN.shape)
    return (np.roll(GRAIN, 7 * frame, axis=2) * light + noise).astype(np.float32)


def learned() -> Background:
    background = Background(14.0, 10)
    for frame in range(10):
        background.learn(seen(1, frame))
    assert background.is_learned
    return background


@pytest.mark.parametrize("light", [0.45, 0.8, 1.25, 1.8])
def test_another_light_makes_no_belt_a_part(light: float) -> None:
    compared = learned().difference(seen(light))
    assert compared is not None
    assert compared[1].mean() < 0.05


@pytest.mark.parametrize("light", [0.1, 4.0])
def test_far_too_dark_or_bright_says_nothing(light: float) -> None:
    assert learned().difference(seen(light)) is None


def test_the_level_does_not_creep_in_a_long_run() -> None:
    background, lights = learned(), []
    is_empty = np.ones(60, bool)
    is_empty[20:40] = False
    for frame in range(8000):
        light = 1 + 0.2 * np.sin(frame / 97) * np.cos(frame / 311)
        sample = seen(light, frame)
        sample[:, 3:13, 20:40] = 175 * light
        assert background.difference(sample) is not None
        background.update(sample, is_empty)
        lights.append(background.light / light)
    assert np.mean(lights[-1000:]) == pytest.approx(np.mean(lights[:1000]), rel=0.01)
