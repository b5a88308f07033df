from __future__ import annotations

import numpy as np
import pytest

from edge.training.synthetic import DEFECTS, VISIBLE_GREY_LEVELS, add_defect, perlin


def textured(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    base = 90 + 60 * perlin((128, 160), 8, rng)[..., None] + rng.normal(0, 12, (128, 160, 3))
    return np.clip(base, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", sorted(DEFECTS))
def test_a_defect_changes_what_its_mask_says_and_visibly(kind: str) -> None:
    image = textured()
    for seed in range(8):
        changed, mask, named = add_defect(image, np.random.default_rng(seed), kind)
        assert named == kind
        assert changed.shape == image.shape
        assert changed.dtype == np.uint8
        assert 0 < mask.mean() < 0.35
        difference = np.abs(changed.astype(int) - image).max(axis=-1)
        assert np.abs(changed.astype(int) - image)[mask].mean() >= VISIBLE_GREY_LEVELS
        outside = difference[~mask]
        assert (outside > 0).mean() < 0.2, "soft rims reach a little beyond the mask"


def test_the_same_seed_gives_the_same_defect() -> None:
    image = textured()
    first, again = (add_defect(image, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first[0], again[0])
    assert first[2] == again[2]


def test_the_picture_given_is_left_alone() -> None:
    image = textured()
    before = image.copy()
    for kind in DEFECTS:
        add_defect(image, np.random.default_rng(1), kind)
    assert np.array_equal(image, before)


def test_perlin_noise_is_smooth_and_fills_its_range() -> None:
    noise = perlin((64, 96), 4, np.random.default_rng(0))
    assert noise.shape == (64, 96)
    assert noise.min() == 0.0
    assert noise.max() == 1.0
    assert np.abs(np.diff(noise, axis=1)).max() < 0.15
