"""Compare the outputs of a rewritten graph with those of its original, on the same frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edge.engines.protocol import EngineInfo
from edge.inspection.type_naming import type_probabilities
from edge.toolchain.parity import Outcome, compare, correlation, differences
from edge.toolchain.quantization.graph_runner import Arrays

Floats = NDArray[np.float32]

# Description of Runner's engine.
HERE = EngineInfo("onnxruntime", ort.__version__, "int8", "CPU", 1)


@dataclass(frozen=True, slots=True)
class OutputDifference:
    """Differences between a rewritten graph and the FP32 graph, over all frames.

    Map and score are in units of the decision threshold.

    Attributes:
        error: root mean square of the map's differences; of the types' for a graph without a map.
        score: largest difference of a score, as a share of the score itself where that is above the
            threshold; 0 for a graph without one.
        shift: mean difference of the scores.
        correlation: lowest of any frame's maps (or types).
        types: largest difference of a type's probability; 0 for a graph without types.
        flips: verdicts that change; `probe_flips` among the probes.
        refusal: differences of the probes if they fail the parity gate; else empty.
    """

    error: float
    score: float
    shift: float
    correlation: float
    types: float
    flips: int
    probe_flips: int
    refusal: str


def output_difference(
    reference: Sequence[Arrays],
    candidate: Sequence[Arrays],
    threshold: float,
    probes: int = 0,
    tiles: int = 1,
) -> OutputDifference:
    """Compare the outputs of two graphs on the same frames; the last `probes` are probes.

    Every `tiles` probes are one picture.
    """
    unit = unit_of(threshold)
    scores = np.array([[_score(a), _score(b)] for a, b in zip(reference, candidate, strict=True)])
    moved = (scores[:, 1] - scores[:, 0]) / unit
    share = moved * unit / np.maximum(unit, np.abs(scores[:, 0]))
    flipped = (scores[:, 0] > threshold) != (scores[:, 1] > threshold)
    pairs = [(_picture(a, unit), _picture(b, unit)) for a, b in zip(reference, candidate)]
    return OutputDifference(
        error=float(np.sqrt(np.mean([np.mean((a - b) ** 2) for a, b in pairs]))),
        score=float(np.abs(share).max()),
        shift=float(moved.mean()),
        correlation=min(correlation(a, b) for a, b in pairs),
        types=max(_types_apart(a, b) for a, b in zip(reference, candidate)),
        flips=int(flipped.sum()),
        probe_flips=int(flipped[len(flipped) - probes :].sum()),
        refusal=_refusal(reference, candidate, threshold, probes, tiles),
    )


def unit_of(threshold: float) -> float:
    """Return the unit of map and score in an OutputDifference."""
    return max(abs(threshold), 1e-6)


def _refusal(
    reference: Sequence[Arrays],
    candidate: Sequence[Arrays],
    threshold: float,
    probes: int,
    tiles: int,
) -> str:
    """Return the reason why the parity gate refuses the last `probes` frames, or nothing."""
    if not probes:
        return ""
    starts = range(len(reference) - probes, len(reference), tiles)
    expected, found = (
        [_outcome(side[start : start + tiles]) for start in starts]
        for side in (reference, candidate)
    )
    record = compare(expected, found, threshold, HERE, "the FP32 graph")
    return "" if record.passed else differences(record)


def _outcome(places: Sequence[Arrays]) -> Outcome:
    """Join the outputs for the tiles of a picture; types are named on whole frames only."""
    first = places[0]
    maps = [place["map"][0] for place in places if "map" in place]
    named = "type_logits" in first and len(places) == 1
    return Outcome(
        np.concatenate(maps) if maps else np.zeros((1, 1), np.float32),
        max(_score(place) for place in places),
        first["type_logits"][0] if named else None,
    )


def _score(outputs: Arrays) -> float:
    return float(outputs["score"][0]) if "score" in outputs else 0.0


def _types_apart(a: Arrays, b: Arrays) -> float:
    if "type_logits" not in a:
        return 0.0
    first, second = (type_probabilities(outputs["type_logits"][0]) for outputs in (a, b))
    return float(np.abs(first - second).max())


def _picture(outputs: Arrays, unit: float) -> Floats:
    """Return the map in units of the threshold, or the type probabilities."""
    if "map" in outputs:
        return outputs["map"][0] / np.float32(unit)
    return type_probabilities(outputs["type_logits"][0])
