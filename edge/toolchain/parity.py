"""Does the exported graph decide as the trained model did?

All limits stand in TOLERANCES: one row per precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import ParityRecord
from edge.engines.protocol import EngineInfo


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest differences allowed, relative to the decision threshold, and lowest correlation.

    Map and score have the unit of the threshold, so that a share of it means the same for every
    product.
    """

    score: float
    map: float
    correlation: float


TOLERANCES = {"fp32": Tolerance(score=1e-3, map=2e-3, correlation=0.9999)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Map (h, w) and score that one side computed for one picture."""

    map: NDArray[np.float32]
    score: float


def compare(
    reference: Sequence[Outcome],
    candidate: Sequence[Outcome],
    threshold: float,
    engine: EngineInfo,
    reference_name: str,
) -> ParityRecord:
    """Compare two sides on the same pictures; `passed` says whether every limit holds."""
    limit = TOLERANCES[engine.precision]
    scale = max(abs(threshold), 1e-6)
    pairs = list(zip(reference, candidate, strict=True))
    finite = all(np.isfinite(c.map).all() and np.isfinite(c.score) for c in candidate)
    score = max(abs(r.score - c.score) for r, c in pairs)
    difference = max(float(np.abs(r.map - c.map).max()) for r, c in pairs)
    correlation = min(_correlation(r.map, c.map) for r, c in pairs)
    flips = sum((r.score > threshold) != (c.score > threshold) for r, c in pairs)
    passed = (
        finite
        and score <= limit.score * scale
        and difference <= limit.map * scale
        and correlation >= limit.correlation
        and flips == 0
    )
    return ParityRecord(
        reference=reference_name,
        backend=engine.backend,
        backend_version=engine.version,
        images=len(pairs),
        score_difference=float(score),
        map_difference=difference,
        map_correlation=correlation,
        verdict_flips=flips,
        passed=passed,
    )


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    x, y = (values.ravel().astype(np.float64) - float(values.mean()) for values in (a, b))
    norm = float(np.sqrt((x @ x) * (y @ y)))
    # Two constant maps agree if they are equal, which the difference already says.
    return float(x @ y) / norm if norm > 0 else 1.0
