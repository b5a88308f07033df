"""Thresholds of several views together: the rate holds for parts, whatever the views share."""

from __future__ import annotations

import numpy as np
import pytest

from edge.bundle.conformal import rank, upper_bound
from edge.bundle.joint_conformal import joint_ranks, parts_for_views


def ascending(scores: np.ndarray) -> list[int]:
    return [int(part) for part in np.argsort(scores)]


def parts(rng: np.random.Generator, count: int, common: float) -> np.ndarray:
    """Scores of parts in three views, (3, count), that share so much of what makes them odd."""
    return common * rng.normal(size=count) + (1 - common) * rng.normal(size=(3, count))


def test_one_view_has_the_rank_of_a_single_threshold() -> None:
    for count, alpha in ((99, 0.01), (120, 0.1), (31, 0.05)):
        order = ascending(np.random.default_rng(0).random(count))
        assert joint_ranks({"top": order}, alpha) == {"top": rank(count, alpha)}


def test_the_highest_part_of_each_view_goes_in_turn() -> None:
    # Part 9 is the highest in both views: it goes for the first, part 7 for the second.
    orders = {"side": [0, 1, 2, 3, 4, 5, 6, 8, 7, 9], "top": [8, 6, 4, 2, 0, 1, 3, 5, 7, 9]}
    assert joint_ranks(orders, 2 / 11) == {"side": 10, "top": 9}
    # The third part that goes is 8, of the first view: 7 is gone.
    assert joint_ranks(orders, 3 / 11) == {"side": 8, "top": 9}


@pytest.mark.parametrize("common", [0.0, 0.5, 1.0])
def test_fresh_parts_are_rejected_at_the_rate_whatever_views_share(common: float) -> None:
    rng = np.random.default_rng(1)
    rates = []
    for _ in range(300):
        known = parts(rng, 99, common)
        ranks = joint_ranks({str(v): ascending(known[v]) for v in range(3)}, 0.1)
        limits = np.array([np.sort(known[v])[ranks[str(v)] - 1] for v in range(3)])
        rates.append(float((parts(rng, 400, common) > limits[:, None]).any(0).mean()))
    # 0.1 by the theorem; the mean of 300 such rates has a standard error of 0.002.
    assert np.mean(rates) == pytest.approx(0.1, abs=0.006)
    above = np.mean(np.array(rates) > upper_bound(99, 0.1))
    # 5 % by the theorem, and the noise of 400 fresh parts.
    assert above < 0.1


def test_equal_scores_reject_no_more() -> None:
    rng = np.random.default_rng(2)
    rates = []
    for _ in range(200):
        known = rng.integers(0, 5, (2, 49)).astype(float)
        ranks = joint_ranks({str(v): ascending(known[v]) for v in range(2)}, 0.1)
        limits = np.array([np.sort(known[v])[ranks[str(v)] - 1] for v in range(2)])
        rates.append(float((rng.integers(0, 5, (2, 400)) > limits[:, None]).any(0).mean()))
    assert np.mean(rates) <= 0.1


def test_every_view_needs_a_part_of_its_own() -> None:
    assert parts_for_views(2, 0.01) == 199
    assert parts_for_views(1, 0.01) == 99
    order = ascending(np.random.default_rng(0).random(199))
    assert joint_ranks({"side": order, "top": order}, 0.01) == {"side": 199, "top": 198}
    with pytest.raises(ValueError, match=r"198 parts in 2 views support rates from 0\.01005"):
        joint_ranks({"side": order[:198], "top": order[:198]}, 0.01)


def test_every_view_shows_the_same_parts() -> None:
    for other in ([0, 1, 3], [0, 1], [0, 1, 2, 2]):
        with pytest.raises(ValueError, match="the same parts"):
            joint_ranks({"side": [0, 1, 2], "top": other}, 0.9)
