"""What tolerances of scores and maps are shares of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# A model that clamps may have a threshold of 0: no share of it covers how a runtime rounds. For
# thresholds above this share of the highest golden score it means nothing.
OF_HIGHEST: Final = 5e-3
_LEAST: Final = 1e-6


def decision_scale(threshold: float, scores: Iterable[float]) -> float:
    """Return the threshold, or a small share of the highest score where that is more.

    Args:
        threshold: of the bundle.
        scores: of its golden pictures, as the trained model gives them.
    """
    return max(abs(threshold), OF_HIGHEST * max(map(abs, scores), default=0.0), _LEAST)
