"""Check on this device that an engine decides as the reference does. Needs no torch and no onnx.

The reference is ONNX Runtime with the bundle's FP32 graphs. It is itself compared with the outputs
of the trained model, which the bundle keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median

from edge.bundle.decision_scale import decision_scale
from edge.bundle.manifest import ParityRecord
from edge.bundle.store import Bundle
from edge.engines.onnx.engine import OnnxEngine
from edge.engines.protocol import Engine
from edge.errors import InferenceError, ParityError
from edge.inspection.scorer import FrameScorer
from edge.inspection.type_scorer import TypeScorer
from edge.toolchain.parity import TOLERANCES, Outcome, compare, differences

# Timed runs, and warm-up runs before them.
TIMED_RUNS, WARM_UP_RUNS = 30, 5


def golden_outcomes(bundle: Bundle, engine: Engine, types_engine: Engine | None) -> list[Outcome]:
    """Return the outputs of engines for the golden pictures, pre-processed as on a station.

    Raises:
        InferenceError: an engine failed, or returned values that are not finite.
    """
    scorer = FrameScorer(engine, bundle.recipe, bundle.graph)
    graph = bundle.types_graph
    type_scorer = TypeScorer(types_engine, graph) if types_engine and graph else None
    outcomes = []
    for image in bundle.golden().images:
        pixels = bundle.golden_pixels(image)
        scored = scorer.score(pixels)
        logits = scored.type_logits if type_scorer is None else type_scorer.score(pixels).logits
        outcomes.append(
            Outcome(scored.map.copy(), scored.score, None if logits is None else logits.copy())
        )
    return outcomes


def reference_outcomes(bundle: Bundle) -> list[Outcome]:
    """Return the outputs of the FP32 graphs for the golden pictures, on ONNX Runtime.

    Raises:
        ParityError: on this machine they do not decide as the trained model did.
    """
    with ExitStack() as stack:
        graph, types = bundle.graph, bundle.types_graph
        engine = stack.enter_context(OnnxEngine(bundle.path(graph.file), graph))
        types_engine = None
        if types is not None:
            types_engine = stack.enter_context(OnnxEngine(bundle.path(types.file), types))
        outcomes = golden_outcomes(bundle, engine, types_engine)
        info = engine.info
    expected = [
        Outcome(anomaly_map, image.score)
        for image, anomaly_map in zip(bundle.golden().images, bundle.golden_maps(), strict=True)
    ]
    for want, got in zip(expected, outcomes, strict=True):
        if want.map.shape != got.map.shape:
            raise ParityError(
                f"{bundle.folder}: expected golden maps of {got.map.shape} by its graph, "
                f"found {want.map.shape}; pack the bundle again"
            )
    record = compare(expected, outcomes, bundle.thresholds.score.value, info, "trained model")
    _refuse(record, f"{bundle.folder} on {info.backend} {info.version}")
    return outcomes


def check_parity(
    bundle: Bundle, engine: Engine, types_engine: Engine | None, reference: Sequence[Outcome]
) -> ParityRecord:
    """Compare engines with the reference on the golden set.

    Raises:
        ParityError: a limit of edge.toolchain.parity is exceeded, or an output is not finite.
    """
    info = engine.info
    name = f"{info.backend} {info.version} {info.precision} on {info.device}"
    try:
        outcomes = golden_outcomes(bundle, engine, types_engine)
    except InferenceError as error:
        raise ParityError(f"{name}: {error}") from error
    threshold = bundle.thresholds.score.value
    record = compare(reference, outcomes, threshold, info, "onnxruntime fp32")
    _refuse(record, name)
    return record


def score_tolerance(bundle: Bundle, precision: str) -> float:
    """Largest difference of a score from the trained model's that a passed check allows.

    The reference may differ from the trained model, and the engine from the reference.
    """
    golden = bundle.golden()
    scale = decision_scale(bundle.thresholds.score.value, (one.score for one in golden.images))
    return golden.score_tolerance + TOLERANCES[precision].score * scale


def median_ms(bundle: Bundle, engine: Engine) -> float:
    """Return the median time of the engine alone for one frame, over the golden pictures."""
    scorer = FrameScorer(engine, bundle.recipe, bundle.graph)
    pictures = [bundle.golden_pixels(image) for image in bundle.golden().images]
    times = [
        scorer.score(pictures[run % len(pictures)]).infer_ms
        for run in range(WARM_UP_RUNS + TIMED_RUNS)
    ]
    return median(times[WARM_UP_RUNS:])


def _refuse(record: ParityRecord, name: str) -> None:
    if not record.passed:
        raise ParityError(f"{name}: does not decide as the reference: {differences(record)}")
