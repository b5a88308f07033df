"""Good parts that are far from the others as a whole, and what the threshold owes to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edge.bundle.thresholds import Threshold
from edge.errors import ThresholdError
from edge.toolchain.packing.thresholds import FAR_OUT, calibrated_threshold
from edge.training.run_folder import Calibration

# Tukey's fences, in interquartile ranges above the upper quartile of the parts' medians: the inner
# one where medians of several pictures are compared, the outer one where they are single scores.
INNER = 1.5
# Quartiles of fewer parts are not reliable.
LEAST_PARTS = 12
MOST = 5


class OddPart(NamedTuple):
    """A good part whose pictures score far above those of the others."""

    name: str
    median: float
    pictures: int


class WithoutOdd(NamedTuple):
    """The odd parts, highest first, and the threshold and recall with and without them.

    `usual` is the highest median of the other parts. Recalls are of synthetic defects, None where
    the run has no scores of them.
    """

    parts: tuple[OddPart, ...]
    usual: float
    threshold: float
    recall_before: float | None
    recall: float | None


def odd_parts(calibration: Calibration, threshold: Threshold) -> WithoutOdd | None:
    """Find odd parts among those that count, where the threshold would be lower without them."""
    scores: dict[str, list[float]] = {}
    for group, score in zip(calibration.groups, calibration.scores, strict=True):
        if group not in threshold.left_out:
            scores.setdefault(group, []).append(score)
    if len(scores) < LEAST_PARTS:
        return None
    medians = {name: float(np.median(values)) for name, values in scores.items()}
    lower, upper = np.quantile(list(medians.values()), (0.25, 0.75))
    is_single = sum(map(len, scores.values())) < 2 * len(scores)
    fence = upper + (FAR_OUT if is_single else INNER) * (upper - lower)
    names = sorted((n for n in medians if medians[n] > fence), key=lambda n: -medians[n])[:MOST]
    if not names:
        return None
    try:
        without = calibrated_threshold(
            calibration, threshold.alpha, {*names, *threshold.left_out}
        ).value
    except ThresholdError:  # the others cannot support this rate: take theirs
        without = calibrated_threshold(calibration, None, {*names, *threshold.left_out}).value
    if not without < threshold.value:
        return None
    return WithoutOdd(
        parts=tuple(OddPart(name, medians[name], len(scores[name])) for name in names),
        usual=max(value for name, value in medians.items() if name not in names),
        threshold=without,
        recall_before=recall([score for _, score in calibration.synthetic], threshold.value),
        recall=recall([score for _, score in calibration.synthetic], without),
    )


def recall(scores: Sequence[float], threshold: float) -> float | None:
    """Share of defects above the threshold; None without any."""
    return None if not scores else float(np.mean(np.array(scores) > threshold))
