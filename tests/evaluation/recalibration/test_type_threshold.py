"""A harmless type rejects at most the share asked for, and what else it lets pass is counted."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from edge.bundle.values import MAX_SCORE
from edge.errors import ThresholdError
from edge.evaluation.recalibration.judged import Score
from edge.evaluation.recalibration.type_threshold import fit_type
from edge.result import Inspection, Reason, StageTimes, Verdict

COMMON = 0.5


def shown(score: float, label: str, named: str | None, part: str = "") -> Score:
    """A picture as a bundle judges it whose `dust` never rejects; `named` is all that it shows."""
    moment = datetime(2026, 5, 1, tzinfo=timezone.utc)
    asks = score > COMMON and named == "dust"
    fails = score > COMMON and not asks
    inspection = Inspection(
        verdict=Verdict.FAIL if fails else Verdict.PASS,
        reason=Reason.WITHIN_TYPE_THRESHOLD if asks else Reason.SCORE_ABOVE_THRESHOLD,
        detail="", camera="top", frame_id=0, captured_at=moment, ended_at=moment, size_wh=(8, 8),
        times=StageTimes(), score=score, threshold=MAX_SCORE if asks else COMMON,
        threshold_type="dust" if asks else None,
    )  # fmt: skip
    return Score(score, part or f"{label} {score}", label == "good", None, None, label, inspection)


def dust(*scores: float) -> list[Score]:
    return [shown(score, "dust", "dust") for score in scores]


def test_the_threshold_is_the_score_that_the_share_exceeds() -> None:
    scores = dust(*(0.4 + 0.1 * number for number in range(19)))
    found = fit_type(scores, "dust", 0.1, COMMON)
    assert (found.threshold.method, found.threshold.rank) == ("labelled-type", 18)
    assert found.threshold.value == pytest.approx(2.1)
    assert (found.own.pictures, found.own.before, found.own.after) == (19, 17, 1)
    assert fit_type(scores, "dust", 0.05, COMMON).threshold.value == pytest.approx(2.2)


def test_pictures_with_other_regions_are_rejected_whatever_the_threshold() -> None:
    scores = [*dust(*(0.6 + 0.1 * number for number in range(17))), shown(0.9, "dust", "hair")]
    found = fit_type(scores, "dust", 0.2, COMMON)
    assert (found.unnamed, found.own.after) == (1, 3)
    assert found.scores.scores[-1] == MAX_SCORE
    with pytest.raises(ThresholdError, match=r"1 of 18 pictures labelled dust are rejected what"):
        fit_type(scores, "dust", 0.06, COMMON)


def test_too_few_parts_or_no_need() -> None:
    with pytest.raises(ThresholdError, match="takes at least 19 parts labelled dust, found 3"):
        fit_type(dust(0.6, 0.7, 0.8), "dust", 0.05, COMMON)
    same = [shown(0.6 + 0.01 * n, "dust", "dust", "one part") for n in range(30)]
    with pytest.raises(ThresholdError, match="takes at least 19 parts labelled dust, found 1"):
        fit_type(same, "dust", 0.05, COMMON)
    with pytest.raises(ThresholdError, match="the type needs none of its own"):
        fit_type(dust(0.1, 0.2, 0.3, 0.9), "dust", 0.4, COMMON)


def test_good_parts_gain_and_defects_taken_for_the_type_are_counted() -> None:
    others = [
        shown(0.7, "scratch", "dust"), shown(3.0, "scratch", "dust"),
        shown(0.8, "scratch", "scratch"), shown(0.3, "scratch", None),
    ]  # fmt: skip
    good = [shown(0.6, "good", "dust"), shown(0.7, "good", "hair"), shown(0.1, "good", None)]
    found = fit_type([*dust(0.8, 0.9, 1.0, 1.1), *others, *good], "dust", 0.2, COMMON)
    assert found.threshold.value == pytest.approx(1.1)
    assert found.others is not None
    assert (found.others.defects, found.others.passed) == (4, 1)
    assert found.others.low < 0.25 < found.others.high
    assert (found.good.pictures, found.good.before, found.good.after) == (3, 2, 1)
    assert fit_type(dust(0.8, 0.9, 1.0, 1.1), "dust", 0.2, COMMON).others is None
