"""The test of groups keeps its level, finds a shifted group, and counts parts."""

from __future__ import annotations

import numpy as np

from edge.evaluation.recalibration import exchangeability
from edge.evaluation.recalibration.exchangeability import compare_groups

DAYS = [f"day {number % 4}" for number in range(80)]


def parts(count: int) -> list[str]:
    return [f"part {number}" for number in range(count)]


def test_a_day_with_other_scores_is_named() -> None:
    scores = np.random.default_rng(0).normal(0.5, 0.1, 80)
    scores[2::4] += 0.2
    found = compare_groups("day", scores.tolist(), parts(80), DAYS)
    assert found is not None
    assert (found.group, found.differs) == ("day 2", True)
    assert found.median > found.others_median + 0.1
    assert found.counts == {f"day {number}": 20 for number in range(4)}


def test_alike_days_are_refused_no_more_often_than_the_level(monkeypatch) -> None:
    monkeypatch.setattr(exchangeability, "DRAWS", 99)
    rng = np.random.default_rng(1)
    p_values = []
    for seed in range(100):
        found = compare_groups("day", rng.gamma(2.0, 0.1, 80).tolist(), parts(80), DAYS, seed)
        assert found is not None
        p_values.append(found.p_value)
    refused = sum(value <= 0.1 for value in p_values)
    # 10 expected; binomial(100, 0.1) is above 19 once in 500 times.
    assert 2 <= refused <= 19


def test_many_pictures_of_few_parts_are_no_evidence() -> None:
    rng = np.random.default_rng(2)
    levels = np.array([0.3, 0.5, 0.4, 0.6, 0.35, 0.55, 0.45, 0.65, 0.42, 0.5])
    scores = np.repeat(levels, 30) + rng.normal(0, 0.001, 300)
    owners = [name for name in parts(10) for _ in range(30)]
    cameras = ["left" if number < 150 else "right" for number in range(300)]
    found = compare_groups("camera", scores.tolist(), owners, cameras)
    assert found is not None
    assert found.counts == {"left": 5, "right": 5}
    assert not found.differs


def test_one_group_or_few_parts_tell_nothing() -> None:
    assert compare_groups("day", [0.1] * 20, parts(20), ["a"] * 20) is None
    assert compare_groups("day", [0.1] * 20, parts(20), ["a"] * 19 + ["b"]) is None


def test_equal_scores_do_not_differ() -> None:
    found = compare_groups("day", [0.1] * 40, parts(40), ["a"] * 20 + ["b"] * 20)
    assert found is not None
    assert (found.distance, found.p_value) == (0.0, 1.0)
