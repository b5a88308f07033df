"""Running totals of the parts: verdicts, truth, times and the rate."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from edge.frame import Part
from edge.outputs import statistics as statistics_module
from edge.outputs.statistics import Statistics
from edge.result import Inspection, Reason, StageTimes, Verdict


def inspection(verdict: Verdict, label: str | None = None, infer_ms: float = 5.0) -> Inspection:
    now = datetime.now(timezone.utc)
    return Inspection(
        verdict=verdict,
        reason=Reason.SCORE_BELOW_THRESHOLD,
        detail="",
        camera="top",
        frame_id=0,
        captured_at=now,
        ended_at=now,
        size_wh=(8, 8),
        times=StageTimes(waiting_ms=10.0, infer_ms=infer_ms),
        score=None if verdict is Verdict.ERROR else 0.5,
        part=None if label is None else Part("x", "file", label),
    )


def test_without_parts_there_are_no_rates() -> None:
    summary = Statistics().summary()
    assert summary.parts == 0
    assert summary.parts_per_second == 0
    assert summary.precision is None
    assert summary.processing.p50 is None


def test_counts_truth_and_times() -> None:
    statistics = Statistics()
    for verdict, label, count in (
        (Verdict.PASS, "good", 6),
        (Verdict.FAIL, "good", 1),
        (Verdict.UNDECIDED, "good", 1),
        (Verdict.FAIL, "hole", 3),
        (Verdict.PASS, "hole", 1),
        (Verdict.ERROR, None, 2),
    ):
        for _ in range(count):
            statistics.add(inspection(verdict, label))
    summary = statistics.summary()
    assert summary.counts == {"pass": 7, "fail": 4, "undecided": 1, "error": 2}
    assert summary.labelled == 12
    assert summary.precision == pytest.approx(3 / 5), "undecided parts are rejected, too"
    assert summary.recall == pytest.approx(3 / 4)
    assert summary.false_reject_rate == pytest.approx(2 / 8)
    assert summary.processing.p50 == pytest.approx(5.0)
    assert summary.total.p99 == pytest.approx(15.0)


def test_percentiles() -> None:
    statistics = Statistics()
    for value in range(1, 101):
        statistics.add(inspection(Verdict.PASS, infer_ms=float(value)))
    times = statistics.summary().processing
    assert (times.p50, times.p95, times.p99) == pytest.approx((50.5, 95.05, 99.01))


def test_the_rate_counts_from_the_moment_when_the_first_part_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own processing belongs to the run: n parts take n times, not n - 1."""
    now = 50.0
    monkeypatch.setattr(statistics_module, "monotonic", lambda: now)
    statistics = Statistics()
    statistics.add(inspection(Verdict.PASS, infer_ms=250.0))
    alone = statistics.summary()
    assert alone.seconds == pytest.approx(0.25)
    assert alone.parts_per_second == pytest.approx(4.0)
    for _ in range(3):
        now += 0.25
        statistics.add(inspection(Verdict.PASS, infer_ms=100.0))
    summary = statistics.summary()
    assert summary.seconds == pytest.approx(1.0)
    assert summary.parts_per_second == pytest.approx(4.0)
