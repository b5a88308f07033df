"""The threshold is the conformal one of parts, and refused where its rate would not hold."""

from __future__ import annotations

import numpy as np
import pytest

from edge.bundle.consistency import check_threshold
from edge.errors import ThresholdError
from edge.evaluation.recalibration import exchangeability
from edge.evaluation.recalibration.judged import Score, place_of
from edge.evaluation.recalibration.threshold import fit, parts_needed


def good(count: int, seed: int = 0, days: int = 1, each: int = 1) -> list[Score]:
    rng = np.random.default_rng(seed)
    return [
        Score(float(rng.normal(0.5, 0.05)), f"part {part}", True, f"day {part % days}", "top")
        for part in range(count)
        for _ in range(each)
    ]


def shifted(scores: list[Score], by: float, **where: str) -> list[Score]:
    ((name, value),) = where.items()
    return [
        each._replace(score=each.score + by) if getattr(each, name) == value else each
        for each in scores
    ]


def test_the_threshold_follows_from_the_scores_as_a_bundle_checks_it() -> None:
    found = fit(good(120, each=3), [], 0.01)
    assert (found.threshold.groups, found.threshold.n) == (120, 360)
    check_threshold(found.threshold, found.scores.scores, found.scores.parts)
    assert [each.factor for each in found.tested] == ["order"]
    assert found.misses is None
    assert found.undecided_p == 0.02


def test_fresh_parts_are_rejected_as_often_as_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchangeability, "DRAWS", 9)
    rejected = []
    for seed in range(40):
        threshold = fit(good(60, seed), [], 0.05).threshold
        fresh = np.random.default_rng(1000 + seed).normal(0.5, 0.05, 1000)
        rejected.append(float(np.mean(fresh > threshold.value)))
    assert 0.03 < np.mean(rejected) < 0.065
    assert np.mean(np.array(rejected) <= threshold.bound95) > 0.85


def test_too_few_parts_are_told_how_many_are_needed() -> None:
    assert parts_needed(0.01) == 99
    assert fit(good(99), [], 0.01).threshold.groups == 99
    with pytest.raises(ThresholdError, match="expected at least 99 good parts, found 98"):
        fit(good(98), [], 0.01)


def test_a_day_that_differs_is_named() -> None:
    with pytest.raises(ThresholdError, match=r"not exchangeable: day day 1 has a median of 0\.6"):
        fit(shifted(good(80, days=4), 0.15, day="day 1"), [], 0.05)


def test_a_drift_is_found_without_days() -> None:
    drifting = [
        each._replace(score=each.score + 0.002 * place, day=None, camera=None)
        for place, each in enumerate(good(80))
    ]
    with pytest.raises(ThresholdError, match="not exchangeable: order"):
        fit(drifting, [], 0.05)


def test_a_part_far_above_all_others_is_named_and_may_be_left_out() -> None:
    scores = shifted(good(80), 3.0, part="part 7")
    with pytest.raises(ThresholdError, match="part part 7 has a median of 3"):
        fit(scores, [], 0.05)
    found = fit(scores, [], 0.05, ["part 7"])
    assert found.threshold.left_out == ("part 7",)
    assert found.threshold.groups == 79
    with pytest.raises(ThresholdError, match="expected one of the good parts"):
        fit(scores, [], 0.05, ["part 700"])


def test_defects_give_the_miss_rate_and_set_nothing() -> None:
    defects = [Score(score, "d", False, None, None) for score in (0.1, 0.605, 0.9, 0.9, 0.9)]
    found = fit(good(99), defects, 0.05)
    assert found.threshold == fit(good(99), [], 0.05).threshold
    assert found.misses is not None
    missed = 1 + int(found.threshold.value >= 0.605)
    assert (found.misses.defects, found.misses.missed) == (5, missed)
    assert found.misses.low < 0.2 < found.misses.high


def test_names_of_pictures_tell_day_and_camera() -> None:
    assert place_of("top-20260501T060000123456Z") == ("20260501", "top")
    assert place_of("20260501T060000.123-top-000042-fail") == ("20260501", "top")
    assert place_of("IMG_1234") == (None, None)
