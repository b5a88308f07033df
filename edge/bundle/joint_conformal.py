"""Thresholds of several views of a part, so that a stated share of good parts is rejected by any.

Good parts are taken out one by one: of the first view the highest part that is left, then of the
second, and so on in turn, until r = floor((n + 1) alpha) of n are out. The threshold of a view is
the score of the last part taken out for it. These are Tukey's statistically equivalent blocks
(Tukey 1947; Kemperman 1956).

Why the rate is exact: take the fresh part among the others and play the same game with n + 1 parts.
If it is not among the first r, the same parts go as without it, and it lies below every threshold.
If it goes at some step, it was the highest left in that view, so above the part that goes there
without it, and above the threshold. The fresh part is therefore rejected exactly if it is among the
first r of n + 1 exchangeable parts, which has the probability r / (n + 1); equal scores only lower
it. For independent parts the rate is Beta(r, n + 1 - r) distributed, as with one view, so that
`conformal.bound_of_parts` is the bound of all views together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def parts_for_views(views: int, alpha: float) -> int:
    """Good parts below which the views have no thresholds of so low a rate: one part a view."""
    return math.ceil(views / alpha - 1 - 1e-9)


def joint_ranks(orders: Mapping[str, Sequence[int]], alpha: float) -> dict[str, int]:
    """Rank (1-based, ascending) of each view's threshold among the scores of its parts.

    Args:
        orders: by view, the numbers of all parts by rising score; each part once. The order of
            the views is that of their turns.
        alpha: share of good parts to reject, by all views together.

    Raises:
        ValueError: the views do not show the same parts, or too few for `alpha`.
    """
    count = len(next(iter(orders.values())))
    once = all(len(order) == len(set(order)) == count for order in orders.values())
    if not once or len({frozenset(order) for order in orders.values()}) != 1:
        raise ValueError("expected the same parts in every view, each once")
    # The tolerance keeps 0.1 * 120 from becoming 11 by rounding.
    taken = math.floor((count + 1) * alpha + 1e-9)
    if taken < len(orders):
        raise ValueError(
            f"{count} parts in {len(orders)} views support rates from "
            f"{len(orders) / (count + 1):.4g}, not {alpha:.4g}"
        )
    left = {view: list(order) for view, order in orders.items()}
    out: set[int] = set()
    views = list(orders)
    for turn in range(taken):
        order = left[views[turn % len(views)]]
        while order[-1] in out:
            order.pop()
        out.add(order[-1])
    return {view: len(order) for view, order in left.items()}
