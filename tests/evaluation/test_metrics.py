"""Section 8 of the metrics specification, by hand: rankings of pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.evaluation.metrics import auroc, curves, rank, recall_at


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
    only_bad = rank(np.ones(3, bool), np.arange(3.0))
    assert math.isnan(only_bad.auroc)
    assert only_bad.ap == 1.0
