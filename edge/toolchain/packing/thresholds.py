"""Fit the decision threshold to scores of good parts, with its statistical bound."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Sequence

import numpy as np

from edge.bundle.conformal import bound_of_parts, rank, rank_of_parts, smallest_alpha
from edge.bundle.thresholds import Threshold, ThresholdMethod
from edge.errors import ThresholdError
from edge.training.run_folder import Calibration

# Usual on production lines; fewer than 99 good parts cannot support it.
DEFAULT_ALPHA = 0.01
# The default rate lets no single part set the threshold, unless that takes a higher rate than this.
ROBUST_ALPHA = 0.1
# Tukey's outer fence, in interquartile ranges above the upper quartile.
FAR_OUT = 3.0
# Quartiles of fewer scores are not reliable.
LEAST_SCORES = 12


def fit_threshold(
    scores: Sequence[float],
    groups: Sequence[Hashable],
    alpha: float | None = None,
    method: ThresholdMethod = "split-conformal",
) -> Threshold:
    """Fit the conformal threshold for a false-reject rate.

    Args:
        scores: of good parts, each by a model that did not learn from the part.
        groups: physical part of each score; pictures of one part are not independent.
        alpha: false-reject rate; None takes usual_alpha.
        method: see Threshold; by `split-conformal` scores count, by the others parts.

    Raises:
        ThresholdError: the scores cannot support `alpha`, or are not finite.
    """
    n, parts = len(scores), len(set(groups))
    if n == 0 or not all(math.isfinite(score) for score in scores):
        raise ThresholdError(f"expected finite scores of held-out good parts, got {n} of them")
    units = n if method == "split-conformal" else parts
    if alpha is None:
        alpha = usual_alpha(units, method)
    if not 0 < alpha < 1:
        raise ThresholdError(f"--alpha: expected a rate between 0 and 1, got {alpha}")
    if alpha < smallest_alpha(units) - 1e-12:
        raise ThresholdError(
            f"--alpha {alpha:g}: {units} held-out good parts support {smallest_alpha(units):.3g} "
            f"at best; hold out at least {math.ceil(1 / alpha - 1)}, or ask for a higher rate"
        )
    if method == "split-conformal":
        position = rank(n, alpha)
    else:
        position = rank_of_parts([groups[place] for place in np.argsort(scores)], alpha)
    return Threshold(
        method=method,
        value=sorted(scores)[position - 1],
        alpha=alpha,
        n=n,
        groups=parts,
        rank=position,
        bound95=bound_of_parts(parts, alpha),
    )


def usual_alpha(units: int, method: ThresholdMethod = "split-conformal") -> float:
    """The default rate: 1 %, or for few units the lowest that makes sense.

    Where parts count, that is 2 / (G + 1) up to ROBUST_ALPHA: at 1 / (G + 1) the highest score
    alone is the threshold, and one odd part decides on all others.
    """
    least = smallest_alpha(units)
    if method != "split-conformal" and 2 * least <= ROBUST_ALPHA:
        least *= 2
    return max(DEFAULT_ALPHA, least)


def calibrated_threshold(
    calibration: Calibration, alpha: float | None = None, left_out: Collection[str] = ()
) -> Threshold:
    """The threshold from a run's calibration, without the scores of some parts.

    Raises:
        ThresholdError: as fit_threshold, or a part to leave out is not there.
    """
    kept = without_parts(calibration, left_out)
    threshold = fit_threshold(kept.scores, kept.groups, alpha, kept.method)
    return threshold.model_copy(update={"left_out": tuple(sorted(set(left_out)))})


def threshold_below(
    score: float, calibration: Calibration, left_out: Collection[str] = ()
) -> Threshold | None:
    """The threshold of the lowest rate, at least the usual one, that lies below a score.

    Returns:
        None where not even the lowest score of a good part does.
    """
    usual = calibrated_threshold(calibration, None, left_out)
    rates = [count / (usual.groups + 1) for count in range(1, usual.groups + 1)]
    for alpha in [usual.alpha, *(rate for rate in rates if rate > usual.alpha)]:
        threshold = calibrated_threshold(calibration, alpha, left_out)
        if threshold.value < score:
            return threshold
    return None


def parts_over(calibration: Calibration, threshold: Threshold) -> tuple[tuple[str, float], ...]:
    """Parts that count and have a score over the threshold, with their highest; highest first."""
    highest: dict[str, float] = {}
    for group, score in zip(calibration.groups, calibration.scores, strict=True):
        if group not in threshold.left_out and score > threshold.value:
            highest[group] = max(score, highest.get(group, score))
    return tuple(sorted(highest.items(), key=lambda item: -item[1]))


def without_parts(calibration: Calibration, left_out: Collection[str]) -> Calibration:
    """Return the calibration without the scores of some parts.

    Raises:
        ThresholdError: a part is not there, or none would be left.
    """
    if not left_out:
        return calibration
    strangers = sorted(set(left_out) - set(calibration.groups))
    if strangers:
        raise ThresholdError(
            f"--leave-out {strangers[0]}: expected one of the {len(set(calibration.groups))} parts "
            f"that set the threshold, such as {calibration.groups[0]}; see the odd parts that "
            "edge-build names"
        )
    rows = [row for row, group in enumerate(calibration.groups) if group not in left_out]
    if not rows:
        raise ThresholdError("--leave-out: expected some parts to be left, got all of them")
    return calibration.at(rows)


def good_scores(
    scores: Sequence[float], groups: Sequence[Hashable], method: ThresholdMethod
) -> dict[str, list[float] | list[int]]:
    """What calibration/scores.json holds, see documents.GoodScores."""
    order = [int(place) for place in np.argsort(scores)]
    found: dict[str, list[float] | list[int]] = {"scores": [float(scores[i]) for i in order]}
    if method != "split-conformal":
        numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
        found["parts"] = [numbers[groups[place]] for place in order]
    return found


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
