"""Exact ranking metrics of images and pixels; positive means anomalous, higher is worse.

Every value is computed over all distinct scores, with ties handled as one step, so that a strictly
increasing transform of the scores changes nothing. A metric that has no value (only one class)
is NaN; it is never mirrored or replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.bool_]
Scores = NDArray[np.floating]
AUPRO_LIMIT = 0.3
# Shares of good parts that a line may afford to reject: detectors are compared by their recall
# there.
FALSE_REJECT_RATES = (0.01, 0.05)
CURVE_POINTS = 256


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


@dataclass(frozen=True, slots=True, eq=False)
class PixelRanking:
    """All pixels of a data set together.

    Attributes:
        ranking: of the pixels.
        aupro: exact, at false-positive rate 0.3.
        overlap_xy: (2, CURVE_POINTS) false-positive rate and per-region overlap, to draw.
    """

    ranking: Ranking
    aupro: float
    overlap_xy: NDArray[np.float64]


def rank(labels: Labels, scores: Scores) -> Ranking:
    """Compute the three ranking metrics of (n,) labels and scores with a single sort."""
    labels, scores = labels.ravel(), scores.ravel()
    order = np.argsort(-scores, kind="stable")
    return _ranking(labels[order], _ends_of_ties(scores[order]))


def curves(labels: Labels, scores: Scores) -> Curves:
    """Compute the curves behind `rank`."""
    order = np.argsort(-scores.ravel(), kind="stable")
    ends = _ends_of_ties(scores.ravel()[order])
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
        return float("nan")
    # 0.29 * 100 is 28.999999999999996.
    rejected = int(false_reject_rate * len(good) + 1e-9)
    return float(np.mean(scores[labels] > good[rejected]))


def recalls_at(labels: Labels, scores: Scores) -> dict[float, float]:
    """Map each of FALSE_REJECT_RATES to `recall_at` it."""
    return {rate: recall_at(labels, scores, rate) for rate in FALSE_REJECT_RATES}


def rank_pixels(
    maps: Sequence[Scores], masks: Sequence[Labels], seen: Sequence[Labels] | None = None
) -> PixelRanking:
    """Compute the ranking of all pixels of a data set together, and exact AUPRO at FPR 0.3.

    AUPRO is the area under the per-region-overlap curve up to that false-positive rate, divided by
    it. Regions are 8-connected components of the masks and count equally whatever their size; the
    false-positive rate is over all normal pixels, those of good parts included.

    Args:
        maps: one (h, w) map per picture; sizes may differ.
        masks: one (h, w) bool mask per picture, empty for good parts.
        seen: one (h, w) bool per picture; other pixels count nowhere. None counts all.
    """
    seen = seen or [np.ones(mask.shape, np.bool_) for mask in masks]
    masks = [mask & counts for mask, counts in zip(masks, seen, strict=True)]
    pairs = list(zip(maps, seen, strict=True))
    scores = np.concatenate([np.asarray(m, np.float32)[counts] for m, counts in pairs])
    labels = np.concatenate([mask[counts] for mask, counts in zip(masks, seen, strict=True)])
    order = np.argsort(-scores, kind="stable")
    ends = _ends_of_ties(scores[order])
    del scores
    x, y = _overlap_curve(masks, seen, labels, order, ends)
    # Closer together where the curve is steep.
    grid = AUPRO_LIMIT * np.linspace(0, 1, CURVE_POINTS) ** 2
    drawn = np.stack([grid, np.interp(grid, x, y)])
    return PixelRanking(_ranking(labels[order], ends), _area(x, y) / AUPRO_LIMIT, drawn)


def _ends_of_ties(ordered: Scores) -> NDArray[np.intp]:
    """Positions of the last entry of every group of equal scores."""
    return np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)


def _ranking(ordered_labels: Labels, ends: NDArray[np.intp]) -> Ranking:
    found = np.cumsum(ordered_labels, dtype=np.int64)[ends]
    positives, total = int(found[-1]), len(ordered_labels)
    negatives = total - positives
    if positives == 0:
        return Ranking(float("nan"), float("nan"), float("nan"))
    taken = ends + 1
    precision, recall = found / taken, found / positives
    ap = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    f1 = float(np.max(2 * found / (taken + positives)))
    if negatives == 0:
        return Ranking(float("nan"), ap, f1)
    false_rate = np.concatenate([[0.0], (taken - found) / negatives])
    area = _area(false_rate, np.concatenate([[0.0], recall]))
    return Ranking(area, ap, f1)


def _overlap_curve(
    masks: Sequence[Labels],
    seen: Sequence[Labels],
    labels: Labels,
    order: NDArray[np.intp],
    ends: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False-positive rate up to AUPRO_LIMIT, and mean overlap.

    The overlap is NaN without regions or normal pixels.
    """
    weights, regions = _region_weights(masks, seen)
    negatives = int(np.count_nonzero(~labels))
    if regions == 0 or negatives == 0:
        return np.array([0.0, AUPRO_LIMIT]), np.full(2, np.nan)
    overlap = np.cumsum(weights[order], dtype=np.float64)[ends] / regions
    false_rate = np.cumsum(~labels[order], dtype=np.int64)[ends] / negatives
    x = np.concatenate([[0.0], false_rate])
    y = np.concatenate([[0.0], overlap])
    cut = int(np.searchsorted(x, AUPRO_LIMIT, side="right"))
    if cut < len(x):
        # Inside a tie group the curve is the straight line through it.
        share = (AUPRO_LIMIT - x[cut - 1]) / (x[cut] - x[cut - 1])
        y = np.append(y[:cut], y[cut - 1] + share * (y[cut] - y[cut - 1]))
        x = np.append(x[:cut], AUPRO_LIMIT)
    return x, y


def _region_weights(
    masks: Sequence[Labels], seen: Sequence[Labels]
) -> tuple[NDArray[np.float64], int]:
    """Per pixel that is seen 1 / area of its region, 0 outside; and the number of regions."""
    weights: list[NDArray[np.float64]] = []
    regions = 0
    for mask, counts in zip(masks, seen, strict=True):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(
            mask.astype(np.uint8), connectivity=8
        )
        inverse = np.concatenate([[0.0], 1.0 / stats[1:, cv2.CC_STAT_AREA]])
        weights.append(inverse[labels][counts])
        regions += count - 1
    return np.concatenate(weights), regions


def _area(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Trapezoid rule; numpy renamed its own in 2.0."""
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1])) / 2)
