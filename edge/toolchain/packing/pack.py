"""Pack a run into a bundle: export, threshold, golden set, parity.

A failed step leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import onnx

from edge import __version__
from edge.bundle.manifest import BUNDLE_SCHEMA, MANIFEST, Manifest, OwnPictures, Recipe
from edge.bundle.operating_points import OPERATING_POINTS
from edge.bundle.store import (
    CARD,
    OWN_PICTURES,
    RECIPE,
    SCORES,
    THRESHOLDS,
    Bundle,
    open_bundle,
)
from edge.bundle.thresholds import THRESHOLDS_SCHEMA, Threshold, Thresholds
from edge.data.frame_record import FrameRecord, read_frames
from edge.data.golden_pictures import read_golden
from edge.data.record import DataRecord
from edge.errors import ToolchainError
from edge.methods.added_types import with_added
from edge.methods.method import Network
from edge.methods.registry import find_method
from edge.methods.run import read_calibration, read_model, read_record
from edge.methods.run_record import RunRecord
from edge.toolchain.fast_form.agreement import AGREEMENT
from edge.toolchain.fast_form.form import FastForm
from edge.toolchain.packing.bundle_folder import (
    check_free,
    hashes,
    swap,
    write_json,
    write_text,
    write_yaml,
)
from edge.toolchain.packing.card import card_text
from edge.toolchain.packing.deciding_pictures import NothingRejected, deciding_pictures
from edge.toolchain.packing.export import export_detector, export_types
from edge.toolchain.packing.frame_limits import learn_frames
from edge.toolchain.packing.golden_set import check_graphs, reference_outcomes, write_golden_set
from edge.toolchain.packing.int8_graphs import add_int8_graphs
from edge.toolchain.packing.operating_points import operating_points
from edge.toolchain.packing.product_thresholds import ProductScores, write_products
from edge.toolchain.packing.thresholds import (
    calibrated_threshold,
    good_scores,
    parts_over,
    threshold_below,
    without_parts,
)
from edge.toolchain.packing.types_graph import TypeNamer, TypesRun, read_types_run
from edge.toolchain.quantization.calibration_set import CalibrationSet
from edge.training.run_folder import Calibration

TYPES_FILE = "models/types.fp32.onnx"


@dataclass(frozen=True, slots=True)
class PackOptions:
    """Options that the run does not determine.

    Attributes:
        name: of the bundle; None takes the data set's.
        version: of the bundle.
        alpha: false-reject rate; None as in thresholds.fit_threshold.
        leave_out: good parts whose scores do not count for the threshold.
        mm_per_px: scale of the source frames.
        licence: of the bundle, for its card.
        types_run: MultiADS or DAPO run whose graph names types.
        added_types: words of further types, see add_type.
        text_weights: path of the CLIP for those types; None takes the run's own.
        veto_above, veto_passes: of the recipe.
        int8: pictures to quantize on; None packs no INT8 graph.
        fast: packed in place of the run's own network; None packs that.
    """

    name: str | None = None
    version: str = "1"
    alpha: float | None = None
    mm_per_px: float | None = None
    licence: str = "not stated"
    types_run: Path | None = None
    added_types: tuple[str, ...] = ()
    text_weights: str | None = None
    veto_above: float | None = None
    veto_passes: bool = False
    int8: CalibrationSet | None = None
    fast: FastForm | None = None
    leave_out: tuple[str, ...] = ()


def pack_bundle(
    run: Path, out: Path, options: PackOptions, advance: Callable[[int], None]
) -> Bundle:
    """Pack a finished run into the bundle folder `out`; `advance(1)` is called four times.

    An existing bundle at `out` is replaced only after the new one has passed.

    Raises:
        TrainingError: `run` is not a finished run.
        ThresholdError: the held-out good parts cannot support the rate asked for.
        ExportError: the model does not export.
        ParityError: an exported graph does not decide as the trained model does.
        PrecisionError: the graph cannot be quantized.
        ToolchainError: `out` holds something that is not a bundle, the run of the types does not
            fit, or the options of the veto make no sense.
    """
    record, calibration = read_record(run), read_calibration(run)
    if options.fast is not None:
        record, calibration = options.fast.record_of(record), options.fast.calibration
    types = None if options.types_run is None else read_types_run(options.types_run, record)
    _check_veto(options, (record.model if types is None else types.settings).types)
    detector = read_model(run, record) if options.fast is None else options.fast.network
    words, weights = options.added_types, options.text_weights
    if words and types is not None:
        types = types.with_added(words, weights)
    elif words:
        detector, record = with_added(detector, record, words, weights)
    place = check_free(out)
    threshold = calibrated_threshold(calibration, options.alpha, options.leave_out)
    advance(1)
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as scratch:
        folder = Path(scratch) / "bundle"
        known = run, record, calibration, detector, types
        try:
            _write(folder, *known, threshold, options, advance)
        except NothingRejected as error:
            lower = None
            if record.instant is not None and options.alpha is None:
                # Few good parts may differ more than defects do: a higher rate gives a bundle.
                lower = threshold_below(error.reached, calibration, options.leave_out)
            if lower is None:
                raise
            folder = Path(scratch) / "lower"
            _write(folder, *known, lower, options, lambda _done: None)
            advance(1)
        open_bundle(folder)
        swap(folder, place)
    advance(1)
    return open_bundle(out)


def _write(
    folder: Path,
    run: Path,
    record: RunRecord,
    calibration: Calibration,
    detector: Network,
    types: TypesRun | None,
    threshold: Threshold,
    options: PackOptions,
    advance: Callable[[int], None],
) -> None:
    name = options.name or record.data.name
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    file = f"models/{record.model.method.replace('-', '')}.fp32.onnx"
    graphs = [export_detector(detector, folder / file).model_copy(update={"file": file})]
    _stamp(folder / file, name, options.version, run)
    naming = (record if types is None else types.record).model
    if types is not None:
        graph = export_types(types.namer, folder / TYPES_FILE)
        graphs.append(graph.model_copy(update={"file": TYPES_FILE}))
        _stamp(folder / TYPES_FILE, name, options.version, types.folder)
    advance(1)
    frames = read_frames(run)
    learned = learn_frames(folder, frames, calibration.grey)
    recipe = Recipe(
        product=name,
        size_wh=record.model.size_wh,
        tiles_wh=record.tiles_wh,
        overlap=record.overlap,
        geometry=record.geometry,
        mm_per_px=options.mm_per_px,
        defect_types=naming.types,
        type_evidence=find_method(naming.method).type_evidence,
        types_size_wh=None if types is None else types.settings.size_wh,
        veto_above=options.veto_above,
        veto_passes=options.veto_passes,
        frames=learned.frames,
        frame_quality=learned.frame_quality,
    )
    write_yaml(folder / RECIPE, recipe)
    kept = without_parts(calibration, options.leave_out)
    thresholds = Thresholds(
        schema=THRESHOLDS_SCHEMA,
        score=threshold,
        scores_file=SCORES,
        created_at=now,
        products=write_products(folder, by_product(kept, record.data, frames), options.alpha),
    )
    write_json(folder / THRESHOLDS, thresholds)
    write_text(folder / SCORES, json.dumps(good_scores(kept.scores, kept.groups, kept.method)))
    points = operating_points(calibration, threshold)
    write_json(folder / OPERATING_POINTS, points)
    if own := own_pictures(record if types is None else types.record):
        write_json(folder / OWN_PICTURES, OwnPictures(pictures=own))
    pictures = list(read_golden(run))
    reference = reference_outcomes(detector, recipe, pictures, types)
    pictures, reference = deciding_pictures(
        pictures,
        reference,
        lambda picture: reference_outcomes(detector, recipe, [picture], types)[0],
        [threshold.value, *(own.score.value for own in thresholds.products.values())],
        folder.parent,
    )
    write_golden_set(folder, pictures, reference, threshold, recipe)
    parity = [check_graphs(folder, graphs, recipe, pictures, reference, threshold.value)]
    if options.int8 is not None:
        networks: list[Network | TypeNamer] = [detector]
        networks += [] if types is None else [types.namer]
        int8, records = add_int8_graphs(
            folder, list(zip(networks, graphs, strict=True)), recipe, options.int8, pictures,
            reference, threshold.value,
        )  # fmt: skip
        graphs += int8
        parity += records
    advance(1)
    card = card_text(
        record, recipe, threshold, parity[0], options.licence,
        types.record if types else None, options.added_types, options.fast,
        parts_over(calibration, threshold), points.other_shifts,
    )  # fmt: skip
    write_text(folder / CARD, card)
    if options.fast is not None:
        write_text(folder / AGREEMENT, json.dumps(options.fast.agreement.as_json(), indent=2))
    manifest = Manifest(
        schema=BUNDLE_SCHEMA,
        name=name,
        version=options.version,
        created_at=now,
        created_by=f"edge-inspection {__version__}",
        method=record.model.method,
        licence=options.licence,
        graphs=tuple(graphs),
        parity=tuple(parity),
        files=hashes(folder),
    )
    write_json(folder / MANIFEST, manifest)


def _check_veto(options: PackOptions, names: tuple[str, ...]) -> None:
    above = options.veto_above
    if above is None and options.veto_passes:
        raise ToolchainError("--veto-passes: goes with --veto-above; give the probability, too")
    if above is not None and not 0 < above < 1:
        raise ToolchainError(f"--veto-above: expected a probability between 0 and 1, got {above}")
    if above is not None and not names:
        raise ToolchainError(
            "--veto-above: the run names no types, and only they tell normal places; teach it some "
            "with edge-train --method types, or give --types"
        )


def own_pictures(record: RunRecord) -> tuple[str, ...]:
    """Return the labelled test pictures of the product that a run learned its types from."""
    learned = record.adapters or record.types
    names = () if learned is None else learned.own_defects
    return tuple(f"test/{name}" for name in names)


def by_product(
    calibration: Calibration, data: DataRecord, frames: FrameRecord | None = None
) -> dict[str, ProductScores]:
    """Split a calibration by product; empty for a single product."""
    products = {}
    for name in data.products:
        rows = [i for i, group in enumerate(calibration.groups) if group.startswith(f"{name}/")]
        products[name] = ProductScores(
            scores=[calibration.scores[row] for row in rows],
            groups=[calibration.groups[row] for row in rows],
            grey=[calibration.grey[row] for row in rows] if calibration.grey else (),
            frames=None if frames is None else frames.of_product(name),
            method=calibration.method,
        )
    return products


def _stamp(path: Path, name: str, version: str, run: Path) -> None:
    """Write bundle, version and weights into the ONNX file, to identify a stray copy."""
    model = onnx.load(str(path))
    digest = hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()
    for key, value in (("bundle", name), ("version", version), ("weights_sha256", digest)):
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, str(path))
