"""Section 8 of the metrics specification, by hand and against brute force: rankings of pixels."""

from __future__ import annotations

import math
import tracemalloc
from contextlib import closing

import numpy as np
import pytest

from edge.evaluation import sorted_keys
from edge.evaluation.metrics import rank
from edge.evaluation.pixel_ranking import PixelRanker, PixelRanking, rank_pixels


def scene(seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    maps, masks = [], []
    for index in range(12):
        mask = np.zeros((40, 50), bool)
        if index % 3:
            y, x = rng.integers(0, 30, 2)
            mask[y : y + rng.integers(1, 10), x : x + rng.integers(1, 10)] = True
        maps.append((rng.normal(size=mask.shape) + 1.5 * mask).astype(np.float32))
        masks.append(mask)
    return maps, masks


def test_the_overlap_curve_encloses_aupro() -> None:
    maps, masks = scene()
    result = rank_pixels(maps, masks)
    x, y = result.overlap_xy
    assert (x[0], x[-1]) == (0, pytest.approx(0.3))
    assert np.sum(np.diff(x) * (y[1:] + y[:-1])) / 2 / 0.3 == pytest.approx(result.aupro, abs=1e-3)
    none = rank_pixels(maps[:1], masks[:1])
    assert none.overlap_xy.size == 0, "no defect in this one"
    assert math.isnan(none.aupro)
    assert math.isnan(none.ranking.ap)


def test_perfect_constant_and_inverted_maps() -> None:
    _, masks = scene()
    level = np.concatenate([mask.ravel() for mask in masks]).mean()
    pixels = rank_pixels([mask.astype(float) for mask in masks], masks)
    ranking, pro = pixels.ranking, pixels.aupro
    assert (ranking.auroc, ranking.ap, ranking.f1_max, pro) == pytest.approx((1, 1, 1, 1))
    pixels = rank_pixels([np.ones(mask.shape) for mask in masks], masks)
    ranking, pro = pixels.ranking, pixels.aupro
    assert ranking.auroc == pytest.approx(0.5)
    assert ranking.ap == pytest.approx(level)
    assert pro == pytest.approx(0.15)
    pixels = rank_pixels([-mask.astype(float) for mask in masks], masks)
    ranking, pro = pixels.ranking, pixels.aupro
    assert (ranking.auroc, pro) == (0.0, 0.0), "never mirrored"


@pytest.mark.parametrize("change", [np.exp, np.cbrt, lambda m: 3 * m - 7, np.tanh])
def test_increasing_transforms_change_nothing(change) -> None:
    maps, masks = scene()
    maps = [m.astype(np.float64) for m in maps]
    before, after = (rank_pixels(m, masks) for m in (maps, [change(m) for m in maps]))
    # Maps are compared in single precision; the transforms may merge neighbouring values.
    assert before.aupro == pytest.approx(after.aupro, abs=1e-6)
    assert before.ranking.ap == pytest.approx(after.ranking.ap, abs=1e-6)
    assert before.ranking.auroc == pytest.approx(after.ranking.auroc, abs=1e-6)


def brute_force_aupro(maps: list[np.ndarray], masks: list[np.ndarray], limit: float) -> float:
    import cv2

    regions = []
    for level, mask in zip(maps, masks):
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        regions += [level[labels == i] for i in range(1, count)]
    normal = np.concatenate([m[~mask] for m, mask in zip(maps, masks)])
    curve = [(0.0, 0.0)]
    for threshold in sorted(np.unique(np.concatenate([m.ravel() for m in maps])), reverse=True):
        overlap = np.mean([(region >= threshold).mean() for region in regions])
        curve.append(((normal >= threshold).mean(), overlap))
    x, y = np.array(curve).T
    grid = np.linspace(0, limit, 200_001)
    return float(np.interp(grid, x, y).mean())


def test_aupro_equals_brute_force() -> None:
    maps, masks = scene(3)
    maps = [np.round(m, 1) for m in maps]  # with ties
    assert rank_pixels(maps, masks).aupro == pytest.approx(
        brute_force_aupro(maps, masks, 0.3), abs=2e-4
    )


def test_small_and_large_regions_count_equally() -> None:
    mask = np.zeros((60, 60), bool)
    mask[5, 5:15] = True  # 10 pixels, found
    mask[20:45, 10:50] = True  # 1000 pixels, missed
    level = np.zeros(mask.shape)
    level[5, 5:15] = 1
    # PRO is 0.5 until everything else is taken in one step.
    assert rank_pixels([level], [mask]).aupro == pytest.approx(0.5 + 0.5 * 0.3 / 2)


def test_doubling_the_set_changes_nothing() -> None:
    maps, masks = scene()
    once, twice = rank_pixels(maps, masks), rank_pixels(maps * 2, masks * 2)
    assert once.aupro == pytest.approx(twice.aupro)
    assert once.ranking.ap == pytest.approx(twice.ranking.ap)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of two pictures and a half, merged as many pixels at a time."""
    monkeypatch.setattr(sorted_keys, "RUN_KEYS", 5000)
    monkeypatch.setattr(sorted_keys, "MERGE_KEYS", 5000)


def figures(found: PixelRanking) -> list[float]:
    ranking = found.ranking
    return [ranking.auroc, ranking.ap, ranking.f1_max, found.aupro, *found.overlap_xy[1]]


@pytest.mark.parametrize("decimals", [6, 1, 0], ids=["distinct", "ties", "few values"])
def test_what_is_sorted_on_the_disk_ranks_as_in_memory(
    decimals: int, request: pytest.FixtureRequest
) -> None:
    """Ties go over from block to block, and values below zero and both zeros are among them."""
    maps, masks = scene(5)
    maps = [np.round(m, decimals) for m in maps]
    assert any(np.signbit(m[m == 0]).any() for m in maps) or decimals == 6
    at_once = rank_pixels(maps, masks)
    labels, scores = (np.concatenate([x.ravel() for x in each]) for each in (masks, maps))
    by_sort = rank(labels, scores)
    request.getfixturevalue("small")
    assert figures(rank_pixels(maps, masks)) == pytest.approx(figures(at_once), abs=1e-12)
    found = at_once.ranking
    assert (found.auroc, found.ap, found.f1_max) == pytest.approx(
        (by_sort.auroc, by_sort.ap, by_sort.f1_max), abs=1e-12
    )


def test_only_defective_pixels_leave_no_rate_of_false_alarms() -> None:
    found = rank_pixels([np.arange(4.0).reshape(2, 2)], [np.ones((2, 2), bool)])
    assert math.isnan(found.aupro)
    assert math.isnan(found.ranking.auroc)
    assert found.ranking.ap == 1
    assert np.isnan(found.overlap_xy[1]).all()


def test_pixels_that_are_not_seen_count_nowhere() -> None:
    """A region that is half hidden is as large as what is seen of it."""
    maps, masks = scene(7)
    shown = [slice(0, 25), slice(10, 50)]
    with closing(PixelRanker()) as ranker:
        for level, mask in zip(maps, masks, strict=True):
            seen = np.zeros(mask.shape, bool)
            seen[tuple(shown)] = True
            ranker.add(level, mask, seen)
        found = ranker.ranking()
    cut = [[each[tuple(shown)] for each in every] for every in (maps, masks)]
    assert figures(found) == pytest.approx(figures(rank_pixels(*cut)), abs=1e-12)


@pytest.mark.usefixtures("small")
def test_memory_does_not_grow_with_the_pictures() -> None:
    maps, masks = scene()
    with closing(PixelRanker()) as ranker:

        def peak(rounds: int) -> int:
            tracemalloc.reset_peak()
            for _ in range(rounds):
                for level, mask in zip(maps, masks, strict=True):
                    ranker.add(level, mask)
            assert ranker.ranking().ranking.auroc > 0.8
            return tracemalloc.get_traced_memory()[1]

        tracemalloc.start()
        try:
            few, many = peak(1), peak(6)
        finally:
            tracemalloc.stop()
    # 72 maps more have come.
    assert many - few < 3 * maps[0].nbytes
