"""Split-conformal arithmetic: a threshold with a stated false-reject rate, and p-values.

With n exchangeable calibration scores of good parts, the rank-th smallest as threshold rejects a
fresh good part with probability at most alpha when rank = ceil((n + 1)(1 - alpha)). That rank
exists only for alpha >= 1 / (n + 1).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence


def smallest_alpha(n: int) -> float:
    """Lowest false-reject rate that n calibration scores can support."""
    return 1 / (n + 1)


def rank(n: int, alpha: float) -> int:
    """Rank (1-based, ascending) of the threshold among n calibration scores.

    Raises:
        ValueError: when n cannot support alpha.
    """
    # The tolerance keeps 1 - 0.1 from becoming the next rank by rounding.
    result = math.ceil((n + 1) * (1 - alpha) - 1e-9)
    if result > n:
        raise ValueError(f"{n} scores support rates from {smallest_alpha(n):.4g}, not {alpha:.4g}")
    return max(result, 1)


def upper_bound(n: int, alpha: float, confidence: float = 0.95) -> float:
    """Upper confidence bound of the false-reject rate over the draw of the calibration scores.

    The rate is Beta(n + 1 - rank, rank) distributed; its CDF at x is the probability that a
    binomial(n, x) count reaches n + 1 - rank.
    """
    exceed = n + 1 - rank(n, alpha)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        below = sum(_binomial(n, i, middle) for i in range(exceed))
        low, high = (low, middle) if 1 - below >= confidence else (middle, high)
    return high


def bound_of_parts(groups: int, alpha: float) -> float:
    """`upper_bound` with the physical parts as the independent units, of which there may be few."""
    return upper_bound(groups, max(alpha, smallest_alpha(groups)))


def is_bound_of_parts(groups: int, alpha: float, value: float) -> bool:
    """Whether `value` is `bound_of_parts`, to six digits, without searching for it."""
    alpha = max(alpha, smallest_alpha(groups))
    exceed = groups + 1 - rank(groups, alpha)

    def reached(x: float) -> bool:
        x = min(max(x, 1e-12), 1 - 1e-12)
        return 1 - sum(_binomial(groups, i, x) for i in range(exceed)) >= 0.95

    return not reached(value * (1 - 1e-6)) and reached(value * (1 + 1e-6))


def _binomial(n: int, i: int, x: float) -> float:
    """Probability of i successes in n trials; in logarithms, since n may be thousands."""
    choose = math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
    return math.exp(choose + i * math.log(x) + (n - i) * math.log1p(-x))


def p_value(sorted_scores: Sequence[float], score: float) -> float:
    """(1 + calibration scores at least as high) / (1 + n); `sorted_scores` ascend."""
    at_least = len(sorted_scores) - bisect_left(sorted_scores, score)
    return (1 + at_least) / (1 + len(sorted_scores))
