"""Figures by hand for how well two forms agree, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from edge.errors import ParityError
from edge.toolchain.fast_form.agreement import (
    Agreement,
    Judged,
    compare,
    rank_correlation,
    refuse,
)


def test_recalls_are_read_at_thresholds_of_good_parts() -> None:
    form = Judged(np.arange(20.0), np.array([17.5, 18.0, 18.5, 19.5]))
    assert form.recalls() == (0.25, 0.5), "none may be rejected: above 19; one may: above 18"


def test_rank_correlation_knows_ties() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert rank_correlation(values, values**3) == pytest.approx(1)
    assert rank_correlation(values, -values) == pytest.approx(-1)
    assert rank_correlation(values, np.ones(4)) == 0
    # Ranks 0, 1.5, 1.5, 3 against 0, 1, 2, 3, as scipy.stats.spearmanr has it.
    tied = np.array([1.0, 2.0, 2.0, 4.0])
    assert rank_correlation(values, tied) == pytest.approx(0.9486833)


def test_verdicts_are_compared_at_each_form_s_own_threshold() -> None:
    full = Judged(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    fast = Judged(np.array([10.0, 20.0]), np.array([15.0, 40.0]))
    found = compare(full, fast, (2.0, 20.0))
    assert found.verdict_flips == 0.25, "the first defect passes"
    assert (found.full_recall, found.fast_recall) == ((1.0, 1.0), (0.5, 0.5))
    assert found.recall_lost == 0.5
    assert (found.good, found.defects) == (2, 2)


@pytest.mark.parametrize(("correlation", "recall"), [(0.79, 0.9), (0.99, 0.7)])
def test_a_form_that_decides_too_differently_is_refused(correlation: float, recall: float) -> None:
    good = Agreement(30, 120, 0.81, 0.05, (0.9, 0.9), (0.9, 0.81))
    refuse(good)
    poor = Agreement(30, 120, correlation, 0.05, (0.9, 0.9), (0.9, recall))
    with pytest.raises(ParityError, match="--accept-lower") as refused:
        refuse(poor)
    assert "\n" not in str(refused.value)
    assert f"rank correlation {correlation:.3f}" in str(refused.value)
