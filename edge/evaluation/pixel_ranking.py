"""Exact ranking of the pixels of any number of pictures, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.evaluation.metrics import NAN, Labels, Ranking, RankingSum, Scores, area
from edge.evaluation.sorted_scores import Points, SortedScores

AUPRO_LIMIT = 0.3
CURVE_POINTS = 256


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


# Of a set without a defective pixel.
NO_PIXELS = PixelRanking(Ranking(NAN, NAN, NAN), NAN, np.full((2, 0), NAN))


class PixelRanker:
    """Takes pictures one by one, then ranks all their pixels together; close it at the end.

    AUPRO is the area under the per-region-overlap curve up to a false-positive rate of 0.3, divided
    by it. Regions are 8-connected components of the masks and count equally whatever their size;
    the false-positive rate is over all normal pixels, those of good parts included.
    """

    def __init__(self) -> None:
        self._scores = SortedScores()
        self._regions = 0

    def add(self, anomaly_map: Scores, mask: Labels, seen: Labels | None = None) -> None:
        """Add the pixels of one picture.

        Args:
            anomaly_map: (h, w), compared in single precision.
            mask: (h, w) bool, empty for good parts.
            seen: (h, w) bool; other pixels count nowhere. None counts all.

        Raises:
            WriteError: the folder of temporary files is full or cannot be written.
        """
        seen = np.ones(mask.shape, np.bool_) if seen is None else seen
        areas, regions = _region_areas(mask & seen)
        self._scores.add(anomaly_map[seen], areas[seen])
        self._regions += regions

    def ranking(self) -> PixelRanking:
        """Rank all pixels; NO_PIXELS if none is defective.

        Raises:
            WriteError: as for `add`.
        """
        scores = self._scores
        if not self._regions:
            return NO_PIXELS
        total = RankingSum(scores.positives, scores.negatives)
        overlap = _OverlapSum(scores.negatives, self._regions)
        for points in scores.curve():
            total.add(points[0], points[1])
            overlap.add(points)
        return PixelRanking(total.ranking(), overlap.aupro, overlap.drawn)

    def close(self) -> None:
        """Give the space on the disk back."""
        self._scores.close()


def rank_pixels(maps: Sequence[Scores], masks: Sequence[Labels]) -> PixelRanking:
    """Rank the pixels of a whole data set, see PixelRanker.

    Args:
        maps: one (h, w) map per picture; sizes may differ.
        masks: one (h, w) bool mask per picture, empty for good parts.
    """
    with closing(PixelRanker()) as ranker:
        for anomaly_map, mask in zip(maps, masks, strict=True):
            ranker.add(anomaly_map, mask)
        return ranker.ranking()


class _OverlapSum:
    """Adds up the per-region-overlap curve as far as AUPRO_LIMIT, and samples it to be drawn."""

    def __init__(self, normal: int, regions: int):
        self._normal, self._regions = normal, regions
        self._area = 0.0 if normal else NAN
        # Closer together where the curve is steep.
        grid = AUPRO_LIMIT * np.linspace(0, 1, CURVE_POINTS) ** 2
        self.drawn = np.stack([grid, np.full(CURVE_POINTS, NAN)])

    @property
    def aupro(self) -> float:
        """NaN without normal pixels."""
        return self._area / AUPRO_LIMIT

    def add(self, points: Points) -> None:
        """Add the next piece of SortedScores.curve."""
        if not self._normal:
            return
        x, y = (points[0] - points[1]) / self._normal, points[2] / self._regions
        cut = int(np.searchsorted(x, AUPRO_LIMIT, side="right"))
        if cut == 0:
            return
        if cut < len(x):
            # Inside a tie group the curve is the straight line through it.
            share = (AUPRO_LIMIT - x[cut - 1]) / (x[cut] - x[cut - 1])
            y = np.append(y[:cut], y[cut - 1] + share * (y[cut] - y[cut - 1]))
            x = np.append(x[:cut], AUPRO_LIMIT)
        self._area += area(x, y)
        grid = self.drawn[0]
        here = (grid >= x[0]) & (grid <= x[-1])
        self.drawn[1, here] = np.interp(grid[here], x, y)


def _region_areas(mask: Labels) -> tuple[NDArray[np.int32], int]:
    """Per pixel the area of its region, 0 outside; and the number of regions."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    return areas[labels], count - 1
