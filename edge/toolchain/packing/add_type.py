"""Add a defect type to a bundle by its word.

Only the text embeddings are computed anew. The new bundle goes through the whole packing, parity
included. It is then compared with the old one on the golden pictures: verdicts and types of before
must stay.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge.bundle.manifest import GraphFile
from edge.bundle.store import Bundle, open_bundle
from edge.data.golden_pictures import GoldenPicture
from edge.engines.onnx.engine import OnnxEngine
from edge.errors import ParityError, ToolchainError
from edge.inspection.scorer import FrameScorer
from edge.inspection.type_scorer import TypeScorer
from edge.methods.added_types import check_word
from edge.methods.run import read_calibration, read_record
from edge.toolchain.packing.bundle_folder import check_free, swap
from edge.toolchain.packing.golden_set import engine_outcome
from edge.toolchain.packing.pack import PackOptions, pack_bundle
from edge.toolchain.packing.thresholds import calibrated_threshold
from edge.toolchain.parity import Outcome
from edge.toolchain.quantization.calibration_set import CalibrationSet
from edge.training.run_folder import MODEL

# Largest change of scores and of the old types' logits, relative to the largest value. A larger
# matrix product rounds differently.
TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class AddRequest:
    """Request for one more type.

    Attributes:
        bundle: to extend; it stays as it is.
        word: the type.
        run: that the bundle was packed from; `types_run`: that of its types graph, if any.
        weights: path of the CLIP of that run; None takes the run's own.
        version: of the new bundle, None for the old one's.
        int8: pictures to calibrate new INT8 graphs on; None packs none.
    """

    bundle: Path
    word: str
    run: Path
    types_run: Path | None = None
    weights: str | None = None
    version: str | None = None
    int8: CalibrationSet | None = None


@dataclass(frozen=True, slots=True)
class Added:
    """The new bundle, and the changes of scores and old types' logits on the golden pictures.

    Both changes are relative to the largest value.
    """

    bundle: Bundle
    logit_difference: float
    score_difference: float


def add_type(request: AddRequest, out: Path, advance: Callable[[int], None]) -> Added:
    """Write the bundle with one more type to `out`; `advance(1)` is called four times.

    Raises:
        BundleError: `request.bundle` is no bundle.
        TrainingError: a run is missing, or the word cannot become a type.
        ToolchainError: the bundle has no types or is not of these runs, or `out` is taken.
        ParityError: the new graph does not decide as the model or as the old bundle.
    """
    old = open_bundle(request.bundle)
    if not old.recipe.defect_types:
        raise ToolchainError(
            f"bundle {request.bundle}: names no types; pack a run that does, see edge-train "
            "--method types"
        )
    if old.thresholds.views or old.thresholds.types:
        raise ToolchainError(
            f"bundle {request.bundle}: has thresholds of views or types, which a bundle that is "
            "packed again lacks; add the type to the one before, then set them with edge-calibrate"
        )
    check_word(request.word, old.recipe.defect_types)
    naming = _naming_run(request, old)
    learned = read_record(naming).model.types
    words = (*old.recipe.defect_types[len(learned) :], request.word.strip())
    place = check_free(out)
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-add-") as scratch:
        folder = Path(scratch) / "bundle"
        new = pack_bundle(request.run, folder, _options(request, old, words), advance)
        logits, scores = _differences(old, new)
        if max(logits, scores) > TOLERANCE or new.thresholds.score != old.thresholds.score:
            raise ParityError(
                f"bundle {request.bundle}: with {request.word!r} it would not judge as before: "
                f"logits of the other types off by {logits:.2g}, scores by {scores:.2g}; nothing "
                "was written"
            )
        swap(folder, place)
    return Added(open_bundle(out), logits, scores)


def _naming_run(request: AddRequest, bundle: Bundle) -> Path:
    """Return the run whose graph names types; check that all runs are those of the bundle."""
    second = bundle.types_graph
    if second is not None and request.types_run is None:
        raise ToolchainError(
            f"bundle {request.bundle}: names types by a graph of its own; give its run with --types"
        )
    if second is None and request.types_run is not None:
        raise ToolchainError(f"--types {request.types_run}: the bundle has no graph of its own")
    _check_origin(bundle, bundle.graph, request.run, "--run")
    if second is None or request.types_run is None:
        return request.run
    _check_origin(bundle, second, request.types_run, "--types")
    return request.types_run


def _check_origin(bundle: Bundle, graph: GraphFile, run: Path, option: str) -> None:
    read_record(run)  # says what is wrong if it is no run
    weights = run / MODEL
    found = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else ""
    model = onnx.load(str(bundle.path(graph.file)))
    if found != {entry.key: entry.value for entry in model.metadata_props}.get("weights_sha256"):
        raise ToolchainError(
            f"{option} {run}: is not the run that {graph.file} of {bundle.folder.name} was packed "
            "from"
        )


def _options(request: AddRequest, old: Bundle, words: tuple[str, ...]) -> PackOptions:
    """Return the options that the old bundle was packed with."""
    manifest, recipe, alpha = old.manifest, old.recipe, old.thresholds.score.alpha
    calibration = read_calibration(request.run)
    left_out = old.thresholds.score.left_out
    usual = calibrated_threshold(calibration, left_out=left_out).alpha
    return PackOptions(
        name=manifest.name,
        version=request.version or manifest.version,
        # The default rate depends on the product; only another one was requested explicitly.
        alpha=None if alpha == usual else alpha,
        mm_per_px=recipe.mm_per_px,
        licence=manifest.licence,
        types_run=request.types_run,
        added_types=words,
        text_weights=request.weights,
        veto_above=recipe.veto_above,
        veto_passes=recipe.veto_passes,
        int8=request.int8,
        leave_out=left_out,
    )


def _differences(old: Bundle, new: Bundle) -> tuple[float, float]:
    """Return the differences of old types' logits and of scores on the golden pictures."""
    before, after = _outcomes(old), _outcomes(new)
    rows = 1 + len(old.recipe.defect_types)
    logits = [
        np.stack([o.type_logits[:rows] for o in outcomes if o.type_logits is not None])
        for outcomes in (before, after)
    ]
    scores = [np.array([outcome.score for outcome in outcomes]) for outcomes in (before, after)]
    return _relative(*logits), _relative(*scores)


def _relative(before: NDArray[Any], after: NDArray[Any]) -> float:
    return float(np.abs(before - after).max() / max(float(np.abs(before).max()), 1e-6))


def _outcomes(bundle: Bundle) -> list[Outcome]:
    with ExitStack() as stack:
        graph, second = bundle.graph, bundle.types_graph
        engine = stack.enter_context(OnnxEngine(bundle.path(graph.file), graph))
        scorer = FrameScorer(engine, bundle.recipe, graph)
        types = None
        if second is not None:
            namer = stack.enter_context(OnnxEngine(bundle.path(second.file), second))
            types = TypeScorer(namer, second)
        pictures = [
            GoldenPicture(bundle.path(image.file), image.label) for image in bundle.golden().images
        ]
        return [engine_outcome(scorer, picture, types) for picture in pictures]
