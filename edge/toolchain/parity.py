"""Compare the decisions of a candidate with those of a reference, on the same pictures.

TOLERANCES holds all limits, one row per precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.bundle.decision_scale import decision_scale
from edge.bundle.manifest import ParityRecord
from edge.engines.protocol import EngineInfo
from edge.errors import ParityError
from edge.inspection.type_naming import type_probabilities


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest differences allowed, relative to the decision threshold, and lowest correlation.

    Map and score have the unit of the threshold, so that a share of it means the same for every
    product; for a threshold next to nothing see decision_scale. `types` is the largest difference
    of a type's probability. `rounding` comes on top of score and map: the share of a value itself
    that it may be off. It counts for a detector that is flat on good parts, whose defects reach
    hundreds of times its threshold. Maps that are nowhere further apart than this share of the
    threshold need not correlate: both are noise.
    """

    score: float
    map: float
    correlation: float
    types: float
    rounding: float


# FP16 and INT8: two to three times the worst of the development sets' golden pictures (FP16: score
# 0.008, map 0.014, correlation 0.9999, types 0.007; INT8: 0.11, 0.22, 0.974, 0.15). In INT8 a
# broken engine shows in the verdicts and in the correlation of the maps. `rounding` is about ten
# times the rounding error of a single number.
TOLERANCES = {
    "fp32": Tolerance(score=1e-3, map=2e-3, correlation=0.9999, types=5e-3, rounding=1e-5),
    "fp16": Tolerance(score=2e-2, map=5e-2, correlation=0.999, types=5e-2, rounding=5e-3),
    "bf16": Tolerance(score=0.15, map=0.33, correlation=0.95, types=0.15, rounding=2e-2),
    "int8": Tolerance(score=0.25, map=0.5, correlation=0.95, types=0.3, rounding=5e-2),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Anomaly map (h, w), image score and type logits (1 + types, h', w') for one picture."""

    map: NDArray[np.float32]
    score: float
    type_logits: NDArray[np.float32] | None = None


def compare(
    reference: Sequence[Outcome],
    candidate: Sequence[Outcome],
    threshold: float,
    engine: EngineInfo,
    reference_name: str,
) -> ParityRecord:
    """Compare two sides on the same pictures; `passed` says whether every limit holds."""
    limit = TOLERANCES[engine.precision]
    scale = decision_scale(threshold, (one.score for one in reference))
    pairs = list(zip(reference, candidate, strict=True))
    finite = all(np.isfinite(c.map).all() and np.isfinite(c.score) for c in candidate)
    score = max(abs(r.score - c.score) for r, c in pairs)
    difference = max(float(np.abs(r.map - c.map).max()) for r, c in pairs)
    lowest = min(correlation(r.map, c.map) for r, c in pairs)
    is_close = all(
        _within(r.score, c.score, limit.score * scale, limit.rounding)
        and _within(r.map, c.map, limit.map * scale, limit.rounding)
        for r, c in pairs
    )
    is_alike = all(
        _within(r.map, c.map, limit.rounding * scale, 0.0)
        or correlation(r.map, c.map) >= limit.correlation
        for r, c in pairs
    )
    types = _type_difference(pairs)
    flips = sum((r.score > threshold) != (c.score > threshold) for r, c in pairs)
    passed = (
        finite and is_close and is_alike and (types is None or types <= limit.types) and flips == 0
    )
    return ParityRecord(
        reference=reference_name,
        backend=engine.backend,
        backend_version=engine.version,
        images=len(pairs),
        score_difference=float(score),
        map_difference=difference,
        map_correlation=lowest,
        type_difference=types,
        verdict_flips=flips,
        passed=passed,
    )


def refuse(record: ParityRecord, what: str) -> None:
    """Stop the build if a parity record did not pass.

    Raises:
        ParityError: it did not pass.
    """
    if not record.passed:
        raise ParityError(
            f"{what} on {record.backend}: does not decide as the trained model: "
            f"{differences(record)}; nothing was written"
        )


def differences(record: ParityRecord) -> str:
    """Describe a record in a message: `score off by 0.3, map by 0.5 (correlation 0.9), ...`."""
    types = record.type_difference
    named = "" if types is None else f"types' probabilities by {types:.2g}, "
    return (
        f"score off by {record.score_difference:.2g}, map by {record.map_difference:.2g} "
        f"(correlation {record.map_correlation:.4f}), {named}"
        f"{record.verdict_flips} of {record.images} verdicts flipped"
    )


def _within(
    reference: NDArray[np.float32] | float,
    candidate: NDArray[np.float32] | float,
    limit: float,
    rounding: float,
) -> bool:
    """Every value lies within `limit` and its rounding."""
    return bool((np.abs(reference - candidate) <= limit + rounding * np.abs(reference)).all())


def _type_difference(pairs: Sequence[tuple[Outcome, Outcome]]) -> float | None:
    """Largest difference of a probability, 0..1; None where the trained model names no types.

    Once among normal and all types, once among the types alone: where normal prevails, only the
    latter tells two types apart that changed places.
    """
    worst = []
    for reference, candidate in pairs:
        if reference.type_logits is None:
            continue
        if candidate.type_logits is None or not np.isfinite(candidate.type_logits).all():
            return 1.0
        for first in (0, 1):
            expected = type_probabilities(reference.type_logits[first:])
            found = type_probabilities(candidate.type_logits[first:])
            worst.append(float(np.abs(expected - found).max()))
    return max(worst, default=None)


def correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Correlation of two maps of one shape."""
    x, y = (values.ravel().astype(np.float64) - float(values.mean()) for values in (a, b))
    norm = float(np.sqrt((x @ x) * (y @ y)))
    # Two constant maps agree if they are equal, which the difference already says.
    return float(x @ y) / norm if norm > 0 else 1.0
