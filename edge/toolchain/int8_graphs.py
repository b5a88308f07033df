"""The INT8 forms of a bundle's graph: quantised, explained, and held against the trained model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import onnx

from edge.bundle.manifest import GraphFile, ParityRecord, Recipe
from edge.engines.onnx_engine import OnnxEngine
from edge.errors import PrecisionError
from edge.pipeline.scorer import FrameScorer
from edge.toolchain.calibration_set import CalibrationSet
from edge.toolchain.golden import engine_outcome
from edge.toolchain.parity import Outcome, compare, refuse
from edge.toolchain.precision.int8 import quantise
from edge.toolchain.precision.settings import Form, Int8Settings
from edge.training.dataset import read_pixels
from edge.training.frames import InputShape, network_inputs
from edge.training.golden import GoldenPicture

FORMS: tuple[Form, ...] = get_args(Form)
# What quantisation did to every layer, and on which pictures.
REPORT = "calibration/int8-{form}.md"
ORIGIN = "calibration/int8.json"
# Pictures enough for steady ranges; more only take time.
FRAMES = 48


def add_int8_graphs(
    folder: Path,
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

    Both are judged on ONNX Runtime: the form for TensorRT computes there what its scales and codes
    say, only slower. What TensorRT makes of it is judged on its device.

    Args:
        folder: of the bundle; holds `graph`.
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
        PrecisionError: a graph cannot be quantised within its limit.
        ParityError: an INT8 graph does not decide as the trained model.
    """
    shape = InputShape(recipe.size_wh, recipe.tiles_wh, recipe.overlap)
    frames = calibration.frames(shape)
    frames = frames[:: max(1, len(frames) // FRAMES)][:FRAMES]
    if not len(frames):
        raise PrecisionError(f"{calibration.folder}: expected pictures to calibrate on, found none")
    probes = np.concatenate([network_inputs(read_pixels(p.path), shape) for p in pictures])
    model = onnx.load(str(folder / graph.file))
    graphs, records = [], []
    for form in FORMS:
        made = quantise(model, frames, Int8Settings(form=form), threshold, probes)
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
        advance(1)
    origin = {
        "calibration_set": calibration.id,
        "origin": calibration.manifest.origin,
        "pictures": calibration.manifest.count,
        "frames_used": len(frames),
    }
    (folder / ORIGIN).write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
    return graphs, records
