"""Tolerances are shares of the threshold; where that is next to nothing, of what defects reach."""

from __future__ import annotations

import pytest

from edge.bundle.decision_scale import decision_scale


@pytest.mark.parametrize(
    ("threshold", "scores", "expected"),
    [
        (0.5, [0.1, 0.9], 0.5),
        (-0.5, [-0.9, 0.1], 0.5),
        (0.01, [0.0, 1.0], 0.01),
        (0.002, [0.0, 0.9], 0.002),
        (0.0, [0.0, 0.8], 0.016),
        (1e-5, [0.0, 0.8], 0.016),
        (0.0, [0.0], 1e-6),
        (0.0, [], 1e-6),
    ],
)
def test_the_scale(threshold: float, scores: list[float], expected: float) -> None:
    assert decision_scale(threshold, scores) == pytest.approx(expected)
