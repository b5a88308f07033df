"""What tolerances of scores and maps are shares of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# A model that clamps may have a threshold of 0: no share of it covers how a runtime rounds. Below
# this share of the highest golden score a threshold is next to nothing, and a larger share of that
# score takes its place. Detectors that are flat on good parts stay above: hundreds of times.
NOTHING: Final = 1 / 500
IN_ITS_PLACE: Final = 1 / 50
_LEAST: Final = 1e-6


def decision_scale(threshold: float, scores: Iterable[float]) -> float:
    """Return the threshold, or a share of the highest score where it is next to nothing.

    Args:
        threshold: of the bundle.
        scores: of its golden pictures, as the trained model gives them.
    """
    highest = max(map(abs, scores), default=0.0)
    scale = abs(threshold)
    return max(scale if scale >= NOTHING * highest else IN_ITS_PLACE * highest, _LEAST)
