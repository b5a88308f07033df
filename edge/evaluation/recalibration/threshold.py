"""The threshold from fresh good parts, and what speaks against it."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from edge.bundle.conformal import (
    bound_of_parts,
    p_value,
    parts_above,
    rank_of_parts,
    smallest_alpha,
)
from edge.bundle.documents import GoodScores
from edge.bundle.recalibration import Misses
from edge.bundle.thresholds import Threshold, ThresholdMethod
from edge.errors import ThresholdError
from edge.evaluation.intervals import clopper_pearson
from edge.evaluation.recalibration.exchangeability import LEVEL, GroupTest, compare_groups
from edge.evaluation.recalibration.judged import Score

# Tukey's outer fence, in interquartile ranges above the upper quartile of the parts' medians.
FAR_OUT = 3.0
# Quartiles of fewer parts are not reliable.
LEAST_PARTS = 12


@dataclass(frozen=True, slots=True)
class Fitted:
    """A threshold with the scores it rests on, and what other pictures say of it."""

    threshold: Threshold
    scores: GoodScores
    tested: tuple[GroupTest, ...]
    misses: Misses | None
    undecided_p: float


def parts_needed(rate: float) -> int:
    """Good parts below which no threshold has so low a false-reject rate."""
    return math.ceil(1 / rate - 1 - 1e-9)


def fit(
    good: Sequence[Score], defects: Sequence[Score], rate: float, leave_out: Collection[str] = ()
) -> Fitted:
    """Fit the threshold of a false-reject rate, by parts.

    Args:
        good: of parts that the model has not learned from, in the order of their capture.
        defects: labelled ones, for the miss rate; they set nothing.
        rate: false-reject rate that is wanted.
        leave_out: parts that do not count.

    Raises:
        ThresholdError: too few parts, groups that are not exchangeable, or a part far from all
            others.
    """
    if strangers := sorted(set(leave_out) - {each.part for each in good}):
        raise ThresholdError(f"--leave-out {strangers[0]}: expected one of the good parts")
    good = [each for each in good if each.part not in leave_out]
    parts = list(dict.fromkeys(each.part for each in good))
    if rate < smallest_alpha(len(parts)) - 1e-12:
        raise ThresholdError(
            f"--rate {rate:.3%}: expected at least {parts_needed(rate)} good parts, found "
            f"{len(parts)}, which support {smallest_alpha(len(parts)):.2%}; add parts, or ask for "
            "a higher rate"
        )
    tested = compare_all_groups(good)
    check_odd_parts(good)
    threshold, scores = threshold_of(
        [(each.score, each.part) for each in good], rate, "fresh-parts", leave_out
    )
    # About as many good parts become undecided as are rejected.
    band = min(max(2 * rate, 2 / (len(parts) + 1)), 0.5)
    return Fitted(threshold, scores, tested, _misses(defects, threshold, scores, band), band)


def threshold_of(
    known: Sequence[tuple[float, str]],
    rate: float,
    method: ThresholdMethod,
    left_out: Collection[str] = (),
) -> tuple[Threshold, GoodScores]:
    """Return the conformal threshold of scores and their parts, and these as a bundle keeps them.

    Raises:
        ValueError: the parts cannot support the rate.
    """
    numbers = {part: number for number, part in enumerate(dict.fromkeys(p for _, p in known))}
    ordered = sorted(((score, numbers[part]) for score, part in known), key=lambda each: each[0])
    scores = GoodScores(
        scores=tuple(score for score, _ in ordered), parts=tuple(part for _, part in ordered)
    )
    position = rank_of_parts(scores.parts, rate)
    threshold = Threshold(
        method=method,
        value=scores.scores[position - 1],
        alpha=rate,
        n=len(known),
        groups=len(numbers),
        rank=position,
        bound95=bound_of_parts(len(numbers), rate),
        left_out=tuple(sorted(set(left_out))),
    )
    return threshold, scores


def compare_all_groups(good: Sequence[Score]) -> tuple[GroupTest, ...]:
    """Test every factor that is known of all pictures.

    Raises:
        ThresholdError: a group differs from the others.
    """
    parts = list(dict.fromkeys(each.part for each in good))
    first = set(parts[: len(parts) // 2])
    factors: dict[str, list[str | None]] = {
        "day": [each.day for each in good],
        "camera": [each.camera for each in good],
        "order": ["first half" if each.part in first else "second half" for each in good],
    }
    tested = []
    for factor, groups in factors.items():
        known = [group for group in groups if group is not None]
        if len(known) < len(good):
            continue
        found = compare_groups(
            factor, [each.score for each in good], [each.part for each in good], known
        )
        if found is None:
            continue
        if found.differs:
            raise ThresholdError(
                f"scores are not exchangeable: {factor} {found.group} has a median of "
                f"{found.median:.3f} in {found.counts[found.group]} parts, the others "
                f"{found.others_median:.3f} (Kolmogorov-Smirnov distance {found.distance:.2f}, "
                f"permutation p = {found.p_value:.3f}, level {LEVEL:g}); find what changed, or "
                "calibrate on the pictures that are like those to come"
            )
        tested.append(found)
    return tuple(tested)


def check_odd_parts(good: Sequence[Score], view: str = "") -> None:
    """Refuse a part far above all others: often an unnoticed defect.

    Args:
        good: of one view, or of parts with one.
        view: its name, for the message.

    Raises:
        ThresholdError: there is one.
    """
    own: dict[str, list[float]] = {}
    for each in good:
        own.setdefault(each.part, []).append(each.score)
    if len(own) < LEAST_PARTS:
        return
    where = f" in view {view}" if view else ""
    medians = {part: float(np.median(scores)) for part, scores in own.items()}
    lower, upper = np.quantile(list(medians.values()), (0.25, 0.75))
    odd = {p: m for p, m in medians.items() if m > upper + FAR_OUT * (upper - lower)}
    if odd:
        part = max(odd, key=lambda name: odd[name])
        options = " ".join(f"--leave-out {name}" for name in sorted(odd))
        raise ThresholdError(
            f"scores are not exchangeable: part {part} has a median of {odd[part]:.3f}{where}, "
            f"three quarters of the parts at most {upper:.3f}; look at it for a defect, then take "
            f"it out or give {options}"
        )


def _misses(
    defects: Sequence[Score], threshold: Threshold, scores: GoodScores, band: float
) -> Misses | None:
    """How many labelled defects pass, and how many of these the band would hold back."""
    if not defects:
        return None
    passed = [each.score for each in defects if each.score <= threshold.value]
    above = parts_above(scores.parts)
    low, high = clopper_pearson(len(passed), len(defects))
    return Misses(
        defects=len(defects),
        missed=len(passed),
        low=low,
        high=high,
        in_band=sum(p_value(scores.scores, score, above) < band for score in passed),
    )
