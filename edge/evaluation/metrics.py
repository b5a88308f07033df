"""Exact ranking metrics; positive means anomalous, higher is worse.

Every value is computed over all distinct scores, with ties handled as one step, so that a strictly
increasing transform of the scores changes nothing. A metric that has no value (only one class)
is NaN; it is never mirrored or replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.bool_]
Scores = NDArray[np.floating]
Counts = NDArray[np.int64] | NDArray[np.float64]
NAN = float("nan")
# Shares of good parts that a line may afford to reject: detectors are compared by their recall
# there.
FALSE_REJECT_RATES = (0.01, 0.05)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Area under the ROC curve, average precision and best F1 of one ranking."""

    auroc: float
    ap: float
    f1_max: float


class Curves(NamedTuple):
    """ROC and precision-recall curve at every distinct score, highest first; NaN if undefined."""

    false_rate: NDArray[np.float64]
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]


def rank(labels: Labels, scores: Scores) -> Ranking:
    """Compute the three ranking metrics of (n,) labels and scores with a single sort."""
    labels, scores = labels.ravel(), scores.ravel()
    order = np.argsort(-scores, kind="stable")
    ends = ends_of_ties(scores[order])
    positives = int(np.count_nonzero(labels))
    total = RankingSum(positives, len(labels) - positives)
    found = np.cumsum(labels[order], dtype=np.int64)[ends]
    total.add(np.append(0, ends + 1), np.append(0, found))
    return total.ranking()


def curves(labels: Labels, scores: Scores) -> Curves:
    """Compute the curves behind `rank`."""
    order = np.argsort(-scores.ravel(), kind="stable")
    ends = ends_of_ties(scores.ravel()[order])
    found = np.cumsum(labels.ravel()[order], dtype=np.int64)[ends]
    taken = ends + 1
    with np.errstate(invalid="ignore"):
        return Curves(
            (taken - found) / np.float64(np.count_nonzero(~labels)),
            found / np.float64(np.count_nonzero(labels)),
            found / taken,
        )


def auroc(labels: Labels, scores: Scores) -> float:
    """P(score of a positive > score of a negative), ties counted half."""
    return rank(labels, scores).auroc


def recall_at(labels: Labels, scores: Scores, false_reject_rate: float) -> float:
    """Share of positives found when at most `false_reject_rate` of the negatives are rejected.

    The threshold is a score of a negative, without interpolation: of n negatives the
    k = floor(rate n) highest may be rejected, and the next one is the threshold. What lies above
    it is rejected, as on the line. With n < 1 / rate this is the highest negative: the figure then
    stands for a smaller rate than its name.

    Args:
        labels: (n,) bool.
        scores: (n,).
        false_reject_rate: in [0, 1).

    Returns:
        Recall in [0, 1]; NaN without positives or negatives.
    """
    labels, scores = labels.ravel(), scores.ravel()
    good = np.sort(scores[~labels])[::-1]
    if not len(good) or not labels.any():
        return NAN
    # 0.29 * 100 is 28.999999999999996.
    rejected = int(false_reject_rate * len(good) + 1e-9)
    return float(np.mean(scores[labels] > good[rejected]))


def recalls_at(labels: Labels, scores: Scores) -> dict[float, float]:
    """Map each of FALSE_REJECT_RATES to `recall_at` it."""
    return {rate: recall_at(labels, scores, rate) for rate in FALSE_REJECT_RATES}


class RankingSum:
    """Adds up a ranking along its curve, which may come piece by piece.

    Args:
        positives, negatives: how many there are in all.
    """

    def __init__(self, positives: int, negatives: int):
        self._positives, self._negatives = positives, negatives
        self._area = self._ap = self._f1_max = 0.0

    def add(self, taken: Counts, found: Counts) -> None:
        """Add the next piece, highest scores first.

        Args:
            taken: (n,) items above the threshold at every distinct score, positives and negatives;
                it begins with that of the piece before, or 0.
            found: (n,) positives among them.
        """
        if not self._positives:
            return
        recall = np.asarray(found / self._positives, np.float64)
        self._ap += float(np.sum(np.diff(recall) * (found[1:] / taken[1:])))
        f1 = 2 * found[1:] / (taken[1:] + self._positives)
        self._f1_max = float(np.max(f1, initial=self._f1_max))
        if self._negatives:
            false_rate = np.asarray((taken - found) / self._negatives, np.float64)
            self._area += area(false_rate, recall)

    def ranking(self) -> Ranking:
        """Of all pieces; NaN where there are no positives or negatives."""
        if not self._positives:
            return Ranking(NAN, NAN, NAN)
        return Ranking(self._area if self._negatives else NAN, self._ap, self._f1_max)


def ends_of_ties(ordered: NDArray[Any]) -> NDArray[np.intp]:
    """Positions of the last entry of every group of equal values in (n,) ordered ones."""
    return np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)


def area(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Trapezoid rule; numpy renamed its own in 2.0."""
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1])) / 2)
