from __future__ import annotations

import numpy as np
import pytest

from edge.data.synthetic_defects import (
    AREA_DEFECTS,
    DEFECTS,
    VISIBLE_GREY_LEVELS,
    add_defect,
    perlin,
)

ALL = {**DEFECTS, **AREA_DEFECTS}


def textured(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    base = 90 + 60 * perlin((128, 160), 8, rng)[..., None] + rng.normal(0, 12, (128, 160, 3))
    return np.clip(base, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", sorted(ALL))
def test_a_defect_changes_what_its_mask_says_and_visibly(kind: str) -> None:
    image = textured()
    for seed in range(8):
        changed, mask, named = add_defect(image, np.random.default_rng(seed), kind)
        assert named == kind
        assert changed.shape == image.shape
        assert changed.dtype == np.uint8
        assert 0 < mask.mean() < (0.35 if kind in DEFECTS else 0.6)
        difference = np.abs(changed.astype(int) - image).max(axis=-1)
        assert np.abs(changed.astype(int) - image)[mask].mean() >= VISIBLE_GREY_LEVELS
        inside, outside = difference[mask], difference[~mask]
        reach = 0.2 if kind in DEFECTS else 0.45
        assert (outside > 0).mean() < reach, "soft rims reach a little beyond the mask"
        assert outside.mean() < 0.2 * inside.mean()


def test_the_same_seed_gives_the_same_defect() -> None:
    image = textured()
    first, again = (add_defect(image, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first[0], again[0])
    assert first[2] == again[2]


def test_trials_use_local_defects_unless_a_kind_is_asked_for() -> None:
    image = textured()
    drawn = {add_defect(image, np.random.default_rng(seed))[2] for seed in range(80)}
    assert drawn == set(DEFECTS)


def test_areas_are_many_times_larger_than_local_defects() -> None:
    """By the median, four times a local defect's share of the picture or more."""
    image = textured()

    def shares(kinds: dict) -> np.ndarray:
        return np.array(
            [
                add_defect(image, np.random.default_rng(seed), kind)[1].mean()
                for kind in kinds
                for seed in range(16)
            ]
        )

    assert np.median(shares(AREA_DEFECTS)) > 0.08
    assert np.median(shares(DEFECTS)) < 0.02


def test_shading_leaves_structure_and_abrasion_adds_it() -> None:
    image = textured()

    def roughness(pixels: np.ndarray, mask: np.ndarray) -> float:
        inside = mask[:, 1:] & mask[:, :-1]
        steps = np.abs(np.diff(pixels.astype(float), axis=1)).mean(-1)[inside]
        return float(steps.mean() / pixels[mask].mean())

    def ratio(kind: str, seed: int) -> float:
        changed, mask, _ = add_defect(image, np.random.default_rng(seed), kind)
        return roughness(changed, mask) / roughness(image, mask)

    shaded = [ratio("shading", seed) for seed in range(12)]
    assert np.allclose(shaded, 1, atol=0.15)
    assert max(ratio("abrasion", seed) for seed in range(12)) > 1.3


def test_the_picture_given_is_left_alone() -> None:
    image = textured()
    before = image.copy()
    for kind in ALL:
        add_defect(image, np.random.default_rng(1), kind)
    assert np.array_equal(image, before)


def test_perlin_noise_is_smooth_and_fills_its_range() -> None:
    noise = perlin((64, 96), 4, np.random.default_rng(0))
    assert noise.shape == (64, 96)
    assert noise.min() == 0.0
    assert noise.max() == 1.0
    assert np.abs(np.diff(noise, axis=1)).max() < 0.15
