"""What a threshold rejects and finds on a labelled set, and thresholds to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.evaluation.evaluated_part import EvaluatedPart
from edge.result import Verdict

# Shares of good parts rejected that a line may be willing to pay.
RATES = (0.005, 0.01, 0.02, 0.05, 0.1)


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Parts of one kind: scores (n,) float64 that a threshold decides on, and how many others.

    `held` parts do not pass whatever the threshold: they have no score, or are undecided for the
    look of their frame.
    """

    scores: NDArray[np.float64]
    held: int

    @classmethod
    def of(cls, parts: Sequence[EvaluatedPart]) -> Scored:
        """Sort parts into those that the score decides on and those that are held."""
        free = [p.score for p in parts if p.is_judged and _is_by_score(p)]
        return cls(np.sort(np.array(free, np.float64)), len(parts) - len(free))

    @property
    def total(self) -> int:
        """Number of parts."""
        return len(self.scores) + self.held

    def rejected(self, threshold: float) -> int:
        """How many do not pass at a threshold; as on the line, an equal score passes."""
        above = len(self.scores) - int(np.searchsorted(self.scores, threshold, side="right"))
        return above + self.held


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold and what it does: parts rejected of all good ones, found of all defective ones.

    `rate` is the share of good parts that it was chosen for.
    """

    rate: float
    threshold: float
    rejected: int
    good: int
    found: int
    defective: int

    @property
    def recall(self) -> float:
        """Share of defective parts found; NaN without any."""
        return self.found / self.defective if self.defective else float("nan")

    @property
    def false_reject_rate(self) -> float:
        """Share of good parts rejected."""
        return self.rejected / self.good


def suggested(good: Scored, defective: Scored) -> tuple[OperatingPoint, ...]:
    """Choose the lowest threshold that rejects at most each of RATES of the good parts.

    Of n good parts, floor(rate n) may be rejected, held ones included; the next highest score is
    the threshold. A rate that the held parts alone exceed has none.
    """
    points = []
    for rate in RATES:
        # 0.29 * 100 is 28.999999999999996.
        allowed = int(rate * good.total + 1e-9) - good.held
        if not 0 <= allowed < len(good.scores):
            continue
        threshold = float(good.scores[-1 - allowed])
        points.append(
            OperatingPoint(
                rate,
                threshold,
                good.rejected(threshold),
                good.total,
                defective.rejected(threshold),
                defective.total,
            )
        )
    return tuple(points)


def _is_by_score(part: EvaluatedPart) -> bool:
    return part.inspection.verdict in (Verdict.PASS, Verdict.FAIL)
