"""Conformal arithmetic: a threshold with a stated false-reject rate, and p-values.

With n exchangeable calibration scores of good parts, the rank-th smallest as threshold rejects a
fresh good part with probability at most alpha when rank = ceil((n + 1)(1 - alpha)). That rank
exists only for alpha >= 1 / (n + 1).

Several pictures of one part are not independent. Where the part of each score is known, every part
has weight one, and its pictures share it: the threshold is the smallest score up to which the
weights reach (G + 1)(1 - alpha) of G parts. A picture of a fresh part, drawn at random from its
pictures, is then rejected with probability at most alpha (Lee, Barber and Willett 2023,
hierarchical conformal prediction). One odd part has weight 1 / G, however many pictures show it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import accumulate


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


def part_weights(parts: Sequence[Hashable]) -> list[float]:
    """Weight of each score: one over the number of scores of its part."""
    counts = Counter(parts)
    return [1 / counts[part] for part in parts]


def rank_of_parts(parts: Sequence[Hashable], alpha: float) -> int:
    """As `rank`, where every part counts once and its scores share its weight.

    Args:
        parts: part of each calibration score, in the ascending order of the scores.
        alpha: false-reject rate.

    Raises:
        ValueError: when the parts cannot support alpha.
    """
    groups = len(set(parts))
    if alpha < smallest_alpha(groups) - 1e-12:
        raise ValueError(
            f"{groups} parts support rates from {smallest_alpha(groups):.4g}, not {alpha:.4g}"
        )
    wanted = min((groups + 1) * (1 - alpha), groups) - 1e-9
    for place, reached in enumerate(accumulate(part_weights(parts)), 1):
        if reached >= wanted:
            return place
    return len(parts)


def parts_above(parts: Sequence[Hashable]) -> tuple[float, ...]:
    """For each of the ascending scores: how many parts have it or a higher one, by weight."""
    return tuple(accumulate(reversed(part_weights(parts))))[::-1]


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


def p_value(sorted_scores: Sequence[float], score: float, above: Sequence[float] = ()) -> float:
    """(1 + calibration scores at least as high) / (1 + n); `sorted_scores` ascend.

    With `above`, as from parts_above, parts are counted in place of scores.
    """
    place = bisect_left(sorted_scores, score)
    if above:
        return (1 + (above[place] if place < len(above) else 0)) / (1 + above[0])
    return (1 + len(sorted_scores) - place) / (1 + len(sorted_scores))
