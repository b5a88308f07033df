"""Fit the decision threshold to scores of good parts, with its statistical bound."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edge.bundle.conformal import bound_of_parts, rank, smallest_alpha
from edge.bundle.manifest import Threshold
from edge.errors import ThresholdError

# Usual on production lines; fewer than 99 good parts cannot support it.
DEFAULT_ALPHA = 0.01
# Tukey's outer fence, in interquartile ranges above the upper quartile.
FAR_OUT = 3.0
# Quartiles of fewer scores are not reliable.
LEAST_SCORES = 12


def fit_threshold(
    scores: Sequence[float], groups: Sequence[str], alpha: float | None = None
) -> Threshold:
    """Fit the split-conformal threshold for a false-reject rate.

    Args:
        scores: of good parts that took no part in training.
        groups: physical part of each score; pictures of one part are not independent.
        alpha: false-reject rate; None takes 1 % or, for fewer than 99 scores, the smallest that
            they support.

    Raises:
        ThresholdError: the scores cannot support `alpha`, or are not finite.
    """
    n = len(scores)
    if n == 0 or not all(math.isfinite(score) for score in scores):
        raise ThresholdError(f"expected finite scores of held-out good parts, got {n} of them")
    least = smallest_alpha(n)
    if alpha is None:
        alpha = max(DEFAULT_ALPHA, least)
    if not 0 < alpha < 1:
        raise ThresholdError(f"--alpha: expected a rate between 0 and 1, got {alpha}")
    if alpha < least - 1e-12:
        needed = math.ceil(1 / alpha - 1)
        raise ThresholdError(
            f"--alpha {alpha:g}: {n} held-out good parts support {least:.3g} at best; "
            f"hold out at least {needed}, or ask for a higher rate"
        )
    position = rank(n, alpha)
    independent = len(set(groups))
    return Threshold(
        method="split-conformal",
        value=sorted(scores)[position - 1],
        alpha=alpha,
        n=n,
        groups=independent,
        rank=position,
        bound95=bound_of_parts(independent, alpha),
    )


def outlying(scores: Sequence[float], threshold: Threshold) -> tuple[int, ...]:
    """Find outliers among the good parts that set the threshold; they are often unnoticed defects.

    Returns:
        Indices into `scores` of the outliers, highest first; none if the threshold is not among
        them.
    """
    if len(scores) < LEAST_SCORES:
        return ()
    lower, upper = np.quantile(scores, (0.25, 0.75))
    fence = upper + FAR_OUT * (upper - lower)
    if threshold.value <= fence:
        return ()
    places = np.argsort(scores)[::-1]
    return tuple(int(place) for place in places if scores[place] > fence)
