"""Whether one score tells defects from good parts worse than another, on the same pictures.

A few dozen pictures move AUROC by several points either way; a difference means something only
beside its standard error (DeLong, DeLong and Clarke-Pearson 1988, for paired curves).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Placements(NamedTuple):
    """Where pictures stand among those of the other class; either mean is the AUROC.

    Attributes:
        good: (n,) share of the defects that score higher, for every good picture.
        defective: (m,) share of the good pictures that score lower, for every defect.
    """

    good: NDArray[np.float64]
    defective: NDArray[np.float64]

    @property
    def auroc(self) -> float:
        """Share of pairs of a good picture and a defect in which the defect scores higher."""
        return float(self.good.mean())


def placements(good: NDArray[np.float32], defective: NDArray[np.float32]) -> Placements:
    """Compare scores of good (n,) and defective (m,) pictures; equal ones count as missed."""
    above = np.searchsorted(np.sort(defective), good, side="right")
    below = np.searchsorted(np.sort(good), defective, side="left")
    return Placements(1 - above / len(defective), below / len(good))


def standard_error(before: Placements, after: Placements) -> float:
    """Standard error of the difference of both AUROCs on the same pictures."""
    variance = sum(
        float(np.var(lost, ddof=1)) / len(lost)
        for lost in (before.good - after.good, before.defective - after.defective)
        if len(lost) > 1
    )
    return float(variance**0.5)


def is_worse(before: Placements, after: Placements, tolerance: float) -> bool:
    """Whether AUROC on the same pictures falls by more than `tolerance` and than chance explains.

    Chance is two standard errors of the paired difference: over good pictures and over defects.
    """
    return before.auroc - after.auroc > max(tolerance, 2 * standard_error(before, after))
