"""Exact confidence interval of a share (Clopper and Pearson 1934)."""

from __future__ import annotations

import math
from collections.abc import Callable


def clopper_pearson(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the lower and upper bound of a share of which `count` in `total` were seen.

    Raises:
        ValueError: `count` is not within 0 and `total`, or `total` is 0.
    """
    if not 0 <= count <= total or total == 0:
        raise ValueError(f"expected a count from 0 to {total} of at least 1, got {count}")
    tail = (1 - confidence) / 2
    # Reaching `count` becomes likelier as the share grows.
    low = 0.0 if count == 0 else _share(lambda x: 1 - _at_most(count - 1, total, x) >= tail)
    high = 1.0 if count == total else _share(lambda x: _at_most(count, total, x) <= tail)
    return low, high


def _share(reached: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _at_most(count: int, total: int, share: float) -> float:
    """Probability of at most `count` successes in `total` trials; in logarithms, for large ones."""
    if share <= 0 or share >= 1:
        return float(share <= 0 or count >= total)
    return sum(
        math.exp(
            math.lgamma(total + 1) - math.lgamma(i + 1) - math.lgamma(total - i + 1)
            + i * math.log(share) + (total - i) * math.log1p(-share)
        )
        for i in range(count + 1)
    )  # fmt: skip
