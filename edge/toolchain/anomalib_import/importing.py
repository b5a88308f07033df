"""Turn a model that anomalib exported into a bundle; a failed step leaves nothing behind.

Nothing is trained. Good pictures that the model has not seen set the threshold, the golden pictures
and the limits of frames, as they do for our own runs.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge import __version__
from edge.bundle.manifest import BUNDLE_SCHEMA, MANIFEST, GraphFile, Manifest, ParityRecord, Recipe
from edge.bundle.operating_points import OPERATING_POINTS
from edge.bundle.store import CARD, RECIPE, SCORES, THRESHOLDS, Bundle, open_bundle, sha256
from edge.bundle.thresholds import THRESHOLDS_SCHEMA, Threshold, Thresholds
from edge.data.frame_record import read_frames, write_frames
from edge.data.frames import InputShape, network_inputs
from edge.data.golden_pictures import GoldenPicture, read_golden, write_golden
from edge.data.image_set import Sample, read_image_set, read_pixels, read_view
from edge.data.synthetic_defects import add_defect
from edge.errors import DataError, InferenceError, ParityError, ThresholdError
from edge.inspection.scorer import FrameScorer
from edge.toolchain.anomalib_import.card import MOST, Facts, card_text
from edge.toolchain.anomalib_import.exported_model import ExportedModel, Judged, judge
from edge.toolchain.anomalib_import.read_export import read_export
from edge.toolchain.anomalib_import.request import ImportRequest, network_size
from edge.toolchain.anomalib_import.seen_area import SeenArea, find_seen_area
from edge.toolchain.packing.bundle_folder import (
    check_free,
    hashes,
    swap,
    write_json,
    write_text,
    write_yaml,
)
from edge.toolchain.packing.deciding_pictures import deciding_pictures
from edge.toolchain.packing.frame_limits import learn_frames
from edge.toolchain.packing.golden_set import engine_outcome, write_golden_set
from edge.toolchain.packing.operating_points import operating_points
from edge.toolchain.packing.thresholds import calibrated_threshold, good_scores
from edge.toolchain.parity import Outcome, compare, refuse
from edge.training.progress import Progress
from edge.training.run_folder import Calibration

METHOD = "anomalib"
LEAST_PICTURES = 6


@dataclass(frozen=True, slots=True)
class Imported:
    """A bundle, the scores that its threshold rests on, and what is known of the model."""

    bundle: Bundle
    calibration: Calibration
    facts: Facts


@dataclass(frozen=True, slots=True)
class _Model:
    """An export ready to judge pictures, and how its map lies over the frame."""

    exported: ExportedModel
    shape: InputShape
    map_wh: tuple[int, int]
    area: SeenArea

    def judge(self, pixels_bgr: NDArray[np.uint8]) -> Judged:
        return judge(self.exported, network_inputs(pixels_bgr, self.shape)[0])

    def outcome(self, picture: GoldenPicture) -> Outcome:
        judged = self.judge(read_pixels(picture.path))
        return Outcome(self.area.padded(judged.map), judged.score)


def import_export(request: ImportRequest, out: Path, progress: Progress) -> Imported:
    """Import an exported model as the bundle `out`, which is replaced only by a sound one.

    Raises:
        ExportError: the file is no such export, or does not run.
        EngineLoadError: it is an OpenVINO IR, and OpenVINO is not installed.
        DataError: the pictures cannot be used.
        ThresholdError: the good pictures cannot support the rate, or the model cannot reject.
        ParityError: the bundle's graph does not decide as the export does.
        ToolchainError: `out` holds something that is not a bundle.
    """
    place = check_free(out)
    exported = read_export(request.export)
    images = read_image_set(request.data)
    if len(images.train) < LEAST_PICTURES:
        raise DataError(
            f"--data {request.data}: expected at least {LEAST_PICTURES} good pictures in it or in "
            f"its train/good, found {len(images.train)}"
        )
    model = _ready(exported, network_size(request, exported.input, images.train), images.train)
    count = len(images.train)
    calibration, called = _calibrate(
        model, images.train, request.seed, progress("good pictures", count)
    )
    threshold = calibrated_threshold(calibration, request.alpha)
    facts = Facts(
        files=tuple((path.name, sha256(path)) for path in exported.files),
        scores=calibration.scores,
        called_anomalous=called if exported.has_label else None,
        area=model.area,
        seen_share=model.area.share(model.map_wh),
        batch=exported.input.batch,
        resizes=exported.input.size_wh is None,
        is_quantized=exported.is_quantized,
    )
    _refuse_saturated(facts, threshold)
    advance = progress("bundle", 2)
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as scratch:
        folder = Path(scratch) / "bundle"
        name = request.name or images.name
        _write(folder, name, request, model, images.train, calibration, threshold, facts, advance)
        open_bundle(folder)
        swap(folder, place)
    return Imported(open_bundle(out), calibration, facts)


def _ready(exported: ExportedModel, size_wh: tuple[int, int], samples: Sequence[Sample]) -> _Model:
    shape = InputShape(size_wh)
    first = judge(exported, network_inputs(read_view(samples[0]).pixels_bgr, shape)[0])
    map_wh = (first.map.shape[1], first.map.shape[0])
    area = find_seen_area(exported.first_convolved(), size_wh, map_wh)
    return _Model(exported, shape, map_wh, area)


def _calibrate(
    model: _Model, samples: Sequence[Sample], seed: int, advance: Callable[[int], None]
) -> tuple[Calibration, int]:
    """Score good pictures and a synthetic defect on each; and count those called anomalous."""
    rng = np.random.default_rng(seed)
    scores, synthetic, called = [], [], 0
    for sample in samples:
        view = read_view(sample)
        judged = model.judge(view.pixels_bgr)
        scores.append(judged.score)
        called += bool(judged.is_anomalous)
        changed, _, kind = add_defect(view.pixels_bgr, rng)
        synthetic.append((kind, model.judge(changed).score))
        advance(1)
    calibration = Calibration(
        files=tuple(sample.path.name for sample in samples),
        groups=tuple(sample.group for sample in samples),
        scores=tuple(scores),
        synthetic=tuple(synthetic),
    )
    return calibration, called


def _refuse_saturated(facts: Facts, threshold: Threshold) -> None:
    if facts.is_clamped and threshold.value >= MOST:
        count = sum(score >= MOST for score in facts.scores)
        raise ThresholdError(
            f"{count} of {len(facts.scores)} good pictures have the score 1, where the export "
            "clamps: nothing could score higher and fail; export it with "
            "PostProcessor(enable_normalization=False), or ask for a higher rate with --alpha"
        )


def _write(
    folder: Path,
    name: str,
    request: ImportRequest,
    model: _Model,
    samples: Sequence[Sample],
    calibration: Calibration,
    threshold: Threshold,
    facts: Facts,
    advance: Callable[[int], None],
) -> None:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    size_wh = model.shape.size_wh
    file = model.exported.graph_file
    graph = model.exported.write_frame_graph(folder / file, size_wh, model.map_wh, model.area)
    graph = graph.model_copy(update={"file": file})
    write_frames(folder.parent, samples)
    learned = learn_frames(folder, read_frames(folder.parent))
    recipe = Recipe(
        product=name, size_wh=size_wh, mm_per_px=request.mm_per_px, frames=learned.frames
    )
    write_yaml(folder / RECIPE, recipe)
    thresholds = Thresholds(
        schema=THRESHOLDS_SCHEMA, score=threshold, scores_file=SCORES, created_at=now
    )
    write_json(folder / THRESHOLDS, thresholds)
    good = good_scores(calibration.scores, calibration.groups, calibration.method)
    write_text(folder / SCORES, json.dumps(good))
    write_json(folder / OPERATING_POINTS, operating_points(calibration, threshold))
    advance(1)
    write_golden(folder.parent, samples, calibration.scores, request.seed)
    pictures = list(read_golden(folder.parent))
    pictures, reference = deciding_pictures(
        pictures,
        [model.outcome(picture) for picture in pictures],
        model.outcome,
        [threshold.value],
        folder.parent,
    )
    write_golden_set(folder, pictures, reference, threshold, recipe)
    parity = _check_parity(
        model.exported, folder, graph, recipe, pictures, reference, threshold.value
    )
    write_text(folder / CARD, card_text(facts, recipe, threshold, parity, request.licence))
    manifest = Manifest(
        schema=BUNDLE_SCHEMA,
        name=name,
        version=request.version,
        created_at=now,
        created_by=f"edge-inspection {__version__}",
        method=METHOD,
        licence=request.licence,
        graphs=(graph,),
        parity=(parity,),
        files=hashes(folder),
    )
    write_json(folder / MANIFEST, manifest)
    advance(1)


def _check_parity(
    exported: ExportedModel,
    folder: Path,
    graph: GraphFile,
    recipe: Recipe,
    pictures: Sequence[GoldenPicture],
    reference: Sequence[Outcome],
    threshold: float,
) -> ParityRecord:
    """Compare the bundle's graph, fed as on a station, with the export.

    Raises:
        ParityError: it does not decide as the export does.
    """
    with exported.load_frame_graph(folder / graph.file, graph) as engine:
        scorer = FrameScorer(engine, recipe, graph)
        try:
            outcomes = [engine_outcome(scorer, picture) for picture in pictures]
        except InferenceError as error:
            raise ParityError(f"{graph.file}: does not decide as the export: {error}") from error
        record = compare(reference, outcomes, threshold, engine.info, exported.reference)
    refuse(record, graph.file)
    return record
