"""Type logits -> the defect type of a region.

Two rules, for two kinds of graph. Where every patch was aligned with the text by itself (MultiADS),
the type with the largest sum of probabilities inside the region wins (section 7 of its spec). Where
regions were aligned (edge.methods.types.network), logits are averaged over the region first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.result import UNKNOWN_TYPE, Region, TypeEvidence

# Below this share of the types' evidence a region stays unknown.
LEAST_TYPE_SCORE = 0.5


class Named(NamedTuple):
    """The type of a region.

    Attributes:
        type: `unknown` where no type has a share of LEAST_TYPE_SCORE.
        score: the best type's share of the types' evidence, 0..1.
        false_alarm: probability of the normal row among all rows, 0..1.
    """

    type: str
    score: float
    false_alarm: float


class Namer(Protocol):
    """Names regions of one frame."""

    def __call__(self, values: NDArray[np.float32]) -> Named:
        """Name a region.

        Args:
            values: (h, w) float32, the anomaly map inside the region and 0 outside.
        """
        ...


class Summed:
    """The type with the largest sum of probabilities inside the region.

    Args:
        names: of the types.
        logits: (1 + types, h', w') float32, row 0 normal.
        size_wh: of the anomaly map.
    """

    def __init__(
        self, names: tuple[str, ...], logits: NDArray[np.float32], size_wh: tuple[int, int]
    ):
        self._names = names
        rows = type_probabilities(logits)
        enlarged = [cv2.resize(p, size_wh, interpolation=cv2.INTER_LINEAR) for p in rows]
        self._probabilities = np.stack(enlarged).astype(np.float32)

    def __call__(self, values: NDArray[np.float32]) -> Named:
        """Name a region; see Namer."""
        sums = self._probabilities[:, values != 0].sum(1)
        shares = sums[1:] / max(float(sums[1:].sum()), 1e-9)
        return _named(self._names, shares, float(sums[0]) / max(float(sums.sum()), 1e-9))


class Pooled:
    """The type that the region's mean logits favour; arguments as in Summed."""

    def __init__(self, names: tuple[str, ...], logits: NDArray[np.float32]):
        self._names = names
        self._logits = logits

    def __call__(self, values: NDArray[np.float32]) -> Named:
        """Name a region; see Namer."""
        weights = grid_weights(values, self._logits.shape[1:])
        mean = (self._logits * weights).sum((1, 2))
        # Of the types alone: where normal is all but certain, theirs among all rows are 0.
        shares = type_probabilities(mean[1:, None, None])[:, 0, 0]
        return _named(self._names, shares, float(type_probabilities(mean[:, None, None])[0, 0, 0]))


def namer(
    evidence: TypeEvidence,
    names: tuple[str, ...],
    logits: NDArray[np.float32],
    size_wh: tuple[int, int],
) -> Namer:
    """Pick the rule that a recipe's `type_evidence` asks for; arguments as in Summed."""
    return Pooled(names, logits) if evidence == "pooled" else Summed(names, logits, size_wh)


def predicted_type(regions: Sequence[Region]) -> str:
    """Name a part by its regions, vetoed ones left out; `unknown` without a named region.

    The region with the highest evidence counts, `type_score * area_px`: one confident patch of the
    defect counts more than specks around it.
    """
    named = [region for region in regions if region.type != UNKNOWN_TYPE and not region.vetoed]
    return max(named, key=_evidence).type if named else UNKNOWN_TYPE


def _evidence(region: Region) -> float:
    return (region.type_score or 0.0) * region.area_px


def grid_weights(values: NDArray[np.float32], grid_hw: tuple[int, ...]) -> NDArray[np.float32]:
    """How much each grid cell belongs to a region, (h', w') float32 of sum 1.

    Args:
        values: (h, w) float32, the anomaly map inside the region and 0 outside.
        grid_hw: h', w'.
    """
    size_wh = (grid_hw[1], grid_hw[0])
    cells = cv2.resize(np.maximum(values, 0), size_wh, interpolation=cv2.INTER_AREA)
    total = float(cells.sum())
    if total <= 0:  # the region has no positive value: every cell it touches counts alike
        touched = (values != 0).astype(np.float32)
        cells = cv2.resize(touched, size_wh, interpolation=cv2.INTER_AREA)
        total = max(float(cells.sum()), 1e-9)
    return np.asarray(cells / total, np.float32)


def type_probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax of (n, h, w) over the first axis."""
    shifted = np.exp(logits - logits.max(0))
    return np.asarray(shifted / shifted.sum(0), np.float32)


def _named(names: tuple[str, ...], shares: NDArray[np.float32], false_alarm: float) -> Named:
    best = int(shares.argmax())
    score = float(shares[best])
    return Named(names[best] if score >= LEAST_TYPE_SCORE else UNKNOWN_TYPE, score, false_alarm)
