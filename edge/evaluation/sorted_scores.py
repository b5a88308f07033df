"""The curve behind all ranking metrics, of any number of scores in memory that does not grow.

A score becomes one key: its value, so that a higher one comes first, then the area of the region
that it lies in. Keys are sorted on the disk (edge.evaluation.sorted_keys).

Counts at fixed thresholds would need no disk. But they are exact only as far as thresholds are
close where the scores are, and those of another method, or with an offset, are elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edge.evaluation.metrics import NAN, Ranking, RankingSum, ends_of_ties
from edge.evaluation.sorted_keys import Keys, SortedKeys

# (3, n): scores above a threshold, positives among them, and the sum of the positives' shares of
# their regions.
Points = NDArray[np.float64]
Areas = NDArray[np.integer] | NDArray[np.bool_]
VALUE_SHIFT, AREA_BITS = np.uint64(32), np.uint64(0xFFFF_FFFF)
SIGN = np.uint32(0x8000_0000)


class SortedScores:
    """Takes scores in any order; close it at the end.

    Attributes:
        positives, negatives: how many came.
    """

    def __init__(self) -> None:
        self._keys = SortedKeys()
        self.positives = self.negatives = 0

    def add(self, scores: NDArray[np.floating], areas: Areas) -> None:
        """Add scores, compared in single precision.

        Args:
            scores: (n,).
            areas: (n,) of the regions that positives lie in, in pixels, below 2**32; 0 for a
                negative. Where regions do not matter, whether it is a positive.

        Raises:
            WriteError: the folder of temporary files is full or cannot be written.
        """
        self._keys.add(_keys(np.asarray(scores, np.float32), areas))
        positives = int(np.count_nonzero(areas))
        self.positives += positives
        self.negatives += len(areas) - positives

    def curve(self) -> Iterator[Points]:
        """Yield the points at all distinct scores, highest first, piece by piece.

        The first piece begins at 0, each further one with the last point of the piece before.

        Raises:
            WriteError: as for `add`.
        """
        totals = last = np.zeros((3, 1))
        held, held_value = np.zeros((3, 0)), None
        for keys in self._keys.blocks():
            values, areas = keys >> VALUE_SHIFT, (keys & AREA_BITS).astype(np.float64)
            shares = np.divide(1, areas, out=np.zeros_like(areas), where=areas > 0)
            ends = ends_of_ties(values)
            points = np.stack([ends + 1, np.cumsum(areas > 0)[ends], np.cumsum(shares)[ends]])
            points += totals
            totals = points[:, -1:]
            if values[0] != held_value:
                points = np.concatenate([held, points], axis=1)
            # The next block may go on with the last value.
            points, held, held_value = points[:, :-1], totals, values[-1]
            piece = np.concatenate([last, points], axis=1)
            yield piece
            last = piece[:, -1:]
        yield np.concatenate([last, held], axis=1)

    def ranking(self) -> Ranking:
        """As `edge.evaluation.metrics.rank`.

        Raises:
            WriteError: as for `add`.
        """
        if not self.positives:
            return Ranking(NAN, NAN, NAN)
        total = RankingSum(self.positives, self.negatives)
        for taken, found, _ in self.curve():
            total.add(taken, found)
        return total.ranking()

    def close(self) -> None:
        """Give the space on the disk back."""
        self._keys.close()


def _keys(values: NDArray[np.float32], areas: Areas) -> Keys:
    """In ascending order they go from the highest value down."""
    bits = (values + np.float32(0)).view(np.uint32)  # one zero, without a sign
    descending = np.where(bits & SIGN, bits, ~(bits | SIGN))
    keys: Keys = descending.astype(np.uint64) << VALUE_SHIFT | areas.astype(np.uint64)
    return keys
