"""Section 8 of the metrics specification, by hand and against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.evaluation.metrics import auroc, curves, rank, rank_pixels, recall_at


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


def test_hand_case() -> None:
    result = rank(np.array([1, 0, 1, 0], bool), np.array([0.9, 0.8, 0.7, 0.1]))
    assert result.auroc == 0.75
    assert result.ap == pytest.approx(1 / 2 + 1 / 3)
    assert result.f1_max == pytest.approx(0.8)


def test_the_curves_of_the_hand_case() -> None:
    drawn = curves(np.array([1, 0, 1, 0], bool), np.array([0.9, 0.8, 0.8, 0.1]))
    assert drawn.false_rate.tolist() == [0, 0.5, 1]
    assert drawn.recall.tolist() == [0.5, 1, 1]
    assert drawn.precision.tolist() == pytest.approx([1, 2 / 3, 1 / 2])


def test_the_overlap_curve_encloses_aupro() -> None:
    maps, masks = scene()
    result = rank_pixels(maps, masks)
    x, y = result.overlap_xy
    assert (x[0], x[-1]) == (0, pytest.approx(0.3))
    assert np.sum(np.diff(x) * (y[1:] + y[:-1])) / 2 / 0.3 == pytest.approx(result.aupro, abs=1e-3)
    assert np.isnan(rank_pixels(maps[:1], masks[:1]).overlap_xy[1]).all(), "no defect in this one"


def test_ties_count_half_whatever_their_order() -> None:
    scores = np.array([0.5, 0.5, 0.5, 0.1])
    for labels in ([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]):
        result = rank(np.array(labels, bool), scores)
        assert result.auroc == pytest.approx((0.5 + 0.5 + 1) / 3)
        assert result.ap == pytest.approx(1 / 3)


def test_auroc_is_the_share_of_ordered_pairs() -> None:
    rng = np.random.default_rng(1)
    labels, scores = rng.random(80) < 0.4, rng.integers(0, 12, 80) / 7
    good, bad = scores[~labels], scores[labels]
    pairs = (bad[:, None] > good).mean() + 0.5 * (bad[:, None] == good).mean()
    assert auroc(labels, scores) == pytest.approx(pairs)


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


GOOD = np.arange(100) / 100  # 0.00 to 0.99


@pytest.mark.parametrize(
    ("good", "defective", "rate", "expected"),
    [
        # One of 100 may be rejected, 0.99: the threshold is 0.98, and what equals it passes.
        (GOOD, [0.97, 0.98, 0.985, 2.0], 0.01, 2 / 4),
        # Five of 100: the threshold is 0.94.
        (GOOD, [0.94, 0.945, 0.96, 0.1], 0.05, 2 / 4),
        # Of 99 good parts none may be rejected at 1 %, four at 5 %.
        (GOOD[:99], [0.97, 0.98, 0.985], 0.01, 1 / 3),
        (GOOD[:99], [0.94, 0.945, 0.985], 0.05, 2 / 3),
        # A tie at the threshold is never broken: both highest pass.
        ([0.1, 0.2, 0.9, 0.9], [0.9, 0.95], 0.25, 1 / 2),
        (GOOD, [0.705, 0.695], 0.29, 1 / 2),
        (GOOD, [0.0, 1.0], 0.0, 1 / 2),
    ],
)
def test_recall_at_a_rate_of_false_rejects_by_hand(good, defective, rate, expected) -> None:
    scores = np.array([*good, *defective])
    labels = np.arange(len(scores)) >= len(good)
    assert recall_at(labels, scores, rate) == pytest.approx(expected)
    shuffled = np.random.default_rng(0).permutation(len(scores))
    assert recall_at(labels[shuffled], scores[shuffled], rate) == pytest.approx(expected)


def test_recall_needs_both_classes() -> None:
    assert math.isnan(recall_at(np.zeros(3, bool), np.arange(3.0), 0.01))
    assert math.isnan(recall_at(np.ones(3, bool), np.arange(3.0), 0.01))


def test_what_does_not_exist_is_nan() -> None:
    only_good = rank(np.zeros(3, bool), np.arange(3.0))
    assert math.isnan(only_good.auroc)
    assert math.isnan(only_good.ap)
    assert math.isnan(rank_pixels([np.zeros((4, 4))], [np.zeros((4, 4), bool)]).aupro)
    only_bad = rank(np.ones(3, bool), np.arange(3.0))
    assert math.isnan(only_bad.auroc)
    assert only_bad.ap == 1.0
