"""What a threshold rejects and finds, and which are suggested."""

from __future__ import annotations

import numpy as np

from edge.evaluation.operating_points import Scored, suggested


def scored(values: list[float], held: int = 0) -> Scored:
    return Scored(np.sort(np.array(values)), held)


def test_an_equal_score_passes_and_held_parts_never_do() -> None:
    parts = scored([0.1, 0.5, 0.5, 0.9], held=2)
    assert [parts.rejected(at) for at in (0.0, 0.1, 0.5, 0.9)] == [6, 5, 3, 2]
    assert parts.total == 6


def test_thresholds_reject_at_most_what_was_asked_for() -> None:
    good = scored([float(i) for i in range(100)])
    bad = scored([0.0, 89.5, 95.0, 97.5, 98.5, 99.0, 200.0])
    found = {p.rate: (p.threshold, p.rejected, p.found) for p in suggested(good, bad)}
    assert found == {
        0.005: (99.0, 0, 1),
        0.01: (98.0, 1, 3),
        0.02: (97.0, 2, 4),
        0.05: (94.0, 5, 5),
        0.1: (89.0, 10, 6),
    }


def test_rates_that_held_parts_exceed_have_no_threshold() -> None:
    good = scored([float(i) for i in range(97)], held=3)
    assert [p.rate for p in suggested(good, scored([]))] == [0.05, 0.1]
    assert all(p.rejected <= p.rate * 100 for p in suggested(good, scored([])))
    assert suggested(scored([]), scored([1.0])) == ()
