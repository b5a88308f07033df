"""The INT8 forms of a bundle's graph: quantised, explained, and held against the trained model."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import torch

from edge.bundle.manifest import GraphFile, ParityRecord, Recipe
from edge.engines.onnx_engine import OnnxEngine
from edge.errors import PrecisionError
from edge.pipeline.scorer import FrameScorer
from edge.toolchain.calibration_set import CalibrationSet
from edge.toolchain.export import export_detector
from edge.toolchain.golden import engine_outcome
from edge.toolchain.parity import Outcome, compare, refuse
from edge.toolchain.precision.coding import Frames
from edge.toolchain.precision.int8 import quantise
from edge.toolchain.precision.settings import Form, Int8Settings
from edge.toolchain.precision.smoothing import has_blocks, smoothed
from edge.training.dataset import read_pixels
from edge.training.frames import InputShape, network_inputs
from edge.training.golden import GoldenPicture
from edge.training.run import Network

FORMS: tuple[Form, ...] = get_args(Form)
# What quantisation did to every layer, and on which pictures.
REPORT = "calibration/int8-{form}.md"
ORIGIN = "calibration/int8.json"
# Pictures enough for steady ranges, and for a steady bias; more only take time.
FRAMES = 48
# One picture in so many is kept apart to tell the bias of the codes fitted to the rest.
FRESH_EVERY = 4


def add_int8_graphs(
    folder: Path,
    detector: Network,
    graph: GraphFile,
    recipe: Recipe,
    calibration: CalibrationSet,
    pictures: Sequence[GoldenPicture],
    reference: Sequence[Outcome],
    threshold: float,
    reference_name: str,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[list[GraphFile], list[ParityRecord]]:
    """Write both INT8 forms of the graph that judges into a bundle folder, with their reports.

    A vision transformer is smoothed first; the bundle's FP32 graph stays as it is. One threshold
    serves all: what coding adds to good parts is taken off in the graph.

    Both are judged on ONNX Runtime: the form for TensorRT computes there what its scales and codes
    say, only slower. What TensorRT makes of it is judged on its device.

    Args:
        folder: of the bundle; holds `graph`.
        detector: what `graph` was exported from.
        graph: FP32, role detect.
        recipe: of the bundle.
        calibration: pictures of good parts that were not used for testing.
        pictures: the golden set.
        reference: what the trained model says of it.
        threshold: of the score.
        reference_name: what made the reference.
        advance: called with 1 after each form.

    Raises:
        DataError: a picture of the set is unreadable.
        ExportError: the smoothed model does not export.
        PrecisionError: a graph cannot be quantised within its limit.
        ParityError: an INT8 graph does not decide as the trained model.
    """
    shape = InputShape(recipe.size_wh, recipe.tiles_wh, recipe.overlap)
    frames, fresh = split(calibration.frames(shape), shape.tiles)
    if not len(frames):
        raise PrecisionError(f"{calibration.folder}: expected pictures to calibrate on, found none")
    probes = np.concatenate([network_inputs(read_pixels(p.path), shape) for p in pictures])
    model = onnx.load(str(folder / graph.file))
    is_smoothed = has_blocks(detector)
    if is_smoothed:
        model = _smooth_graph(detector, frames, model)
    graphs, records, biases = [], [], {}
    for form in FORMS:
        made = quantise(model, frames, Int8Settings(form=form), threshold, probes, fresh)
        file = graph.file.replace(".fp32.", f".int8-{form}.")
        onnx.save(made.model, str(folder / file))
        report = folder / REPORT.format(form=form)
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(made.report.as_markdown(), encoding="utf-8")
        coded = graph.model_copy(update={"file": file, "precision": "int8", "form": form})
        with OnnxEngine(folder / file, coded) as engine:
            scorer = FrameScorer(engine, recipe, coded)
            outcomes = [engine_outcome(scorer, picture) for picture in pictures]
            record = compare(reference, outcomes, threshold, engine.info, reference_name)
        refuse(record, file)
        graphs.append(coded)
        records.append(record)
        biases[form] = made.report.chosen.shift
        advance(1)
    origin = {
        "calibration_set": calibration.id,
        "origin": calibration.manifest.origin,
        "pictures": calibration.manifest.count,
        "frames_used": len(frames),
        "frames_for_bias": len(fresh),
        "is_smoothed": is_smoothed,
        # Taken off map and score, as a share of the threshold.
        "bias": biases,
    }
    (folder / ORIGIN).write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
    return graphs, records


def split(frames: Frames, tiles: int = 1) -> tuple[Frames, Frames]:
    """Share frames out: those that codes are fitted to, and fresh ones.

    Args:
        frames: (n, H, W, 3) uint8, the `tiles` of one picture after those of another.
        tiles: of a picture; they stay together.
    """
    is_fresh = np.arange(len(frames)) // tiles % FRESH_EVERY == FRESH_EVERY - 1
    return _thinned(frames[~is_fresh]), _thinned(frames[is_fresh])


def _thinned(frames: Frames) -> Frames:
    """Return at most FRAMES, evenly over all."""
    if len(frames) <= FRAMES:
        return frames
    return frames[np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)]


def _smooth_graph(detector: Network, frames: Frames, plain: onnx.ModelProto) -> onnx.ModelProto:
    """Export the detector with smoothed blocks, under the name that `plain` carries inside."""
    network = smoothed(detector, [torch.from_numpy(frame[None]) for frame in frames])
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "smooth.onnx"
        export_detector(network, path)
        model = onnx.load(str(path))
    model.metadata_props.extend(plain.metadata_props)
    return model
