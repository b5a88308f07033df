from __future__ import annotations

import numpy as np
import pytest

from edge.bundle.conformal import p_value, rank, smallest_alpha, upper_bound


@pytest.mark.parametrize(
    ("n", "alpha", "expected"), [(99, 0.01, 99), (199, 0.01, 198), (9, 0.1, 9), (1000, 0.05, 951)]
)
def test_rank(n: int, alpha: float, expected: int) -> None:
    assert rank(n, alpha) == expected


def test_a_rate_that_n_cannot_support_is_refused() -> None:
    with pytest.raises(ValueError, match=r"98 scores support rates from 0.0101, not 0.01"):
        rank(98, 0.01)
    assert smallest_alpha(99) == 0.01


@pytest.mark.parametrize(
    ("n", "expected"), [(99, 0.030), (200, 0.024), (500, 0.018), (1000, 0.016), (3000, 0.013)]
)
def test_upper_bound_of_one_percent(n: int, expected: float) -> None:
    # Figures computed independently, from the quantile function of the beta distribution.
    assert upper_bound(n, 0.01) == pytest.approx(expected, abs=6e-4)


def test_upper_bound_holds_in_simulation() -> None:
    rng = np.random.default_rng(0)
    n, alpha = 120, 0.05
    thresholds = np.sort(rng.uniform(size=(20_000, n)), axis=1)[:, rank(n, alpha) - 1]
    rates = 1 - thresholds  # of uniform scores
    assert np.mean(rates) <= alpha
    assert np.mean(rates <= upper_bound(n, alpha)) == pytest.approx(0.95, abs=0.01)


def test_p_value_agrees_with_the_threshold() -> None:
    scores = sorted(np.random.default_rng(1).normal(size=199).tolist())
    threshold = scores[rank(199, 0.05) - 1]
    assert p_value(scores, threshold + 1e-9) <= 0.05
    assert p_value(scores, threshold) > 0.05
    assert p_value(scores, max(scores) + 1) == 1 / 200
    assert p_value(scores, min(scores)) == 1.0
