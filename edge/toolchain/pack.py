"""Run -> bundle: export, threshold, golden set, parity; nothing is left behind unless all pass."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import onnx
import torch
import yaml
from pydantic import BaseModel

from edge import __version__
from edge.bundle.manifest import (
    BUNDLE_SCHEMA,
    THRESHOLDS_SCHEMA,
    GraphFile,
    Manifest,
    ParityRecord,
    Recipe,
    Threshold,
    Thresholds,
)
from edge.bundle.store import (
    CARD,
    MANIFEST,
    RECIPE,
    SCORES,
    THRESHOLDS,
    Bundle,
    open_bundle,
    sha256,
)
from edge.engines.onnx_engine import OnnxEngine
from edge.errors import ParityError, ToolchainError
from edge.models.multiads_settings import MultiAdsSettings
from edge.pipeline.scorer import FrameScorer
from edge.toolchain.card import card_text
from edge.toolchain.export import export_detector
from edge.toolchain.golden import engine_outcome, reference_outcomes, write_golden_set
from edge.toolchain.parity import Outcome, compare
from edge.toolchain.products import ProductScores, write_products
from edge.toolchain.thresholds import fit_threshold
from edge.training.golden import GoldenPicture, read_golden
from edge.training.run import (
    Calibration,
    DataRecord,
    Network,
    RunRecord,
    read_calibration,
    read_model,
    read_record,
)
from edge.vision.quality import quality_range

GRAPH_FILE = "models/inpformer.fp32.onnx"


@dataclass(frozen=True, slots=True)
class PackOptions:
    """What the packer cannot know from the run.

    Attributes:
        name: of the bundle; None takes the data set's.
        version: of the bundle.
        alpha: false-reject rate; None see thresholds.fit_threshold.
        mm_per_px: scale of the source frames.
        licence: of the bundle, for its card.
    """

    name: str | None = None
    version: str = "1"
    alpha: float | None = None
    mm_per_px: float | None = None
    licence: str = "not stated"


def pack_bundle(
    run: Path, out: Path, options: PackOptions, advance: Callable[[int], None]
) -> Bundle:
    """Pack a finished run into the bundle folder `out`; `advance(1)` is called four times.

    An existing bundle at `out` is replaced only after the new one has passed.

    Raises:
        TrainingError: `run` is not a finished run.
        ThresholdError: the held-out good parts cannot support the rate asked for.
        ExportError: the model does not export.
        ParityError: the exported graph does not decide as the trained model.
        ToolchainError: `out` holds something that is not a bundle.
    """
    record, calibration = read_record(run), read_calibration(run)
    detector = read_model(run, record)
    if out.exists() and not (out / MANIFEST).is_file() and any(out.iterdir()):
        raise ToolchainError(f"--out {out}: exists and is no bundle; choose another folder")
    threshold = fit_threshold(calibration.scores, calibration.groups, options.alpha)
    advance(1)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        folder = Path(scratch) / "bundle"
        _write(folder, run, record, calibration, detector, threshold, options, advance)
        open_bundle(folder)
        _swap(folder, out)
    advance(1)
    return open_bundle(out)


def _write(
    folder: Path,
    run: Path,
    record: RunRecord,
    calibration: Calibration,
    detector: Network,
    threshold: Threshold,
    options: PackOptions,
    advance: Callable[[int], None],
) -> None:
    name = options.name or record.data.name
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    graph = export_detector(detector, folder / GRAPH_FILE)
    graph = graph.model_copy(update={"file": GRAPH_FILE})
    advance(1)
    _stamp(folder / GRAPH_FILE, name, options.version, run)
    recipe = Recipe(
        product=name,
        size_wh=record.model.size_wh,
        tiles_wh=record.tiles_wh,
        overlap=record.overlap,
        mm_per_px=options.mm_per_px,
        defect_types=record.model.types if isinstance(record.model, MultiAdsSettings) else (),
        frame_quality=quality_range(list(calibration.grey)),
    )
    _write_yaml(folder / RECIPE, recipe)
    thresholds = Thresholds(
        schema=THRESHOLDS_SCHEMA,
        score=threshold,
        scores_file=SCORES,
        created_at=now,
        products=write_products(folder, by_product(calibration, record.data), options.alpha),
    )
    _write_json(folder / THRESHOLDS, thresholds)
    _write_text(folder / SCORES, json.dumps({"scores": sorted(calibration.scores)}))
    pictures = read_golden(run)
    reference = reference_outcomes(detector, recipe, pictures)
    write_golden_set(folder, pictures, reference, threshold)
    parity = _check_parity(folder, graph, recipe, pictures, reference, threshold)
    advance(1)
    _write_text(folder / CARD, card_text(record, recipe, threshold, parity, options.licence))
    manifest = Manifest(
        schema=BUNDLE_SCHEMA,
        name=name,
        version=options.version,
        created_at=now,
        created_by=f"edge-inspection {__version__}",
        method=record.model.method,
        licence=options.licence,
        graphs=(graph,),
        parity=(parity,),
        files=_hashes(folder),
    )
    _write_json(folder / MANIFEST, manifest)


def by_product(calibration: Calibration, data: DataRecord) -> dict[str, ProductScores]:
    """Share a calibration out over the products that it was made on; empty for a single one."""
    products = {}
    for name in data.products:
        rows = [i for i, group in enumerate(calibration.groups) if group.startswith(f"{name}/")]
        products[name] = ProductScores(
            scores=[calibration.scores[row] for row in rows],
            groups=[calibration.groups[row] for row in rows],
            grey=[calibration.grey[row] for row in rows],
        )
    return products


def _check_parity(
    folder: Path,
    graph: GraphFile,
    recipe: Recipe,
    pictures: Sequence[GoldenPicture],
    reference: Sequence[Outcome],
    threshold: Threshold,
) -> ParityRecord:
    with OnnxEngine(folder / GRAPH_FILE, graph) as engine:
        scorer = FrameScorer(engine, recipe, graph)
        outcomes = [engine_outcome(scorer, picture) for picture in pictures]
        parity = compare(
            reference, outcomes, threshold.value, engine.info, f"torch {torch.__version__}"
        )
    if not parity.passed:
        raise ParityError(
            f"{GRAPH_FILE} on {parity.backend}: does not decide as the trained model: score off by "
            f"{parity.score_difference:.2g}, map by {parity.map_difference:.2g}, "
            f"{parity.verdict_flips} of {parity.images} verdicts flipped; nothing was written"
        )
    return parity


def _stamp(path: Path, name: str, version: str, run: Path) -> None:
    """Put identity into the ONNX file, so that a stray one can be told."""
    model = onnx.load(str(path))
    digest = hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()
    for key, value in (("bundle", name), ("version", version), ("weights_sha256", digest)):
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, str(path))


def _swap(folder: Path, out: Path) -> None:
    old = out.with_name(f".{out.name}.old")
    if out.exists():
        if old.exists():
            shutil.rmtree(old)
        out.replace(old)
    folder.replace(out)
    if old.exists():
        shutil.rmtree(old)


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}


def _write_json(path: Path, model: BaseModel) -> None:
    _write_text(path, model.model_dump_json(indent=2, by_alias=True))


def _write_yaml(path: Path, model: BaseModel) -> None:
    data = model.model_dump(mode="json")
    _write_text(path, yaml.safe_dump(data, sort_keys=False, default_flow_style=None))


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
