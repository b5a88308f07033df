"""Make the INT8 forms of a bundle's graphs, report on them, and compare them with the model."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import torch

from edge.bundle.manifest import GraphFile, ParityRecord, Recipe
from edge.data.frames import InputShape, network_inputs
from edge.data.golden_pictures import GoldenPicture
from edge.data.image_set import read_pixels
from edge.errors import PrecisionError
from edge.methods.method import Network
from edge.toolchain.packing.export import export_detector, export_types
from edge.toolchain.packing.golden_set import check_graphs
from edge.toolchain.packing.types_graph import TypeNamer
from edge.toolchain.parity import Outcome
from edge.toolchain.quantization.calibration_set import CalibrationSet
from edge.toolchain.quantization.int8 import quantize
from edge.toolchain.quantization.quantize import Frames
from edge.toolchain.quantization.settings import Form, Int8Settings
from edge.toolchain.quantization.smoothing import has_blocks, smoothed

FORMS: tuple[Form, ...] = get_args(Form)
# Reports on the sensitivity of every layer, and on the calibration pictures.
REPORT = "calibration/int8-{role}-{form}.md"
ORIGIN = "calibration/int8.json"
# Enough pictures for stable ranges, and for a stable bias; more only take time.
FRAMES = 48
# One picture in so many is set aside to measure the bias; the rest is for calibration.
FRESH_EVERY = 4


def add_int8_graphs(
    folder: Path,
    exported: Sequence[tuple[Network | TypeNamer, GraphFile]],
    recipe: Recipe,
    calibration: CalibrationSet,
    pictures: Sequence[GoldenPicture],
    reference: Sequence[Outcome],
    threshold: float,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[list[GraphFile], list[ParityRecord]]:
    """Write both INT8 forms of a bundle's graphs into its folder, with their reports.

    A vision transformer is smoothed first; the bundle's FP32 graphs stay as they are. One threshold
    serves all graphs: what quantization adds to scores of good parts is subtracted in the graph.

    The parity of each form is checked on ONNX Runtime, detection and types graph together. There
    the form for TensorRT computes the same values as on TensorRT, only slower. Parity on TensorRT
    itself is checked on the device.

    Args:
        folder: of the bundle; holds the graphs.
        exported: the detector and its FP32 graph, then the network that names types and its
            graph, if there is one.
        recipe: of the bundle.
        calibration: pictures of good parts that were not used for testing.
        pictures: the golden set.
        reference: outputs of the trained model for it.
        threshold: of the score.
        advance: called with 1 after each form.

    Raises:
        DataError: a picture of the set is unreadable.
        ExportError: a smoothed model does not export.
        PrecisionError: a graph cannot be quantized within its limit.
        ParityError: INT8 graphs do not decide as the trained model.
    """
    sources = [_source(folder, *pair, recipe, calibration, pictures) for pair in exported]
    graphs, records, biases = [], [], {}
    for form in FORMS:
        made = [source.quantized(folder, form, threshold) for source in sources]
        int8 = [graph for graph, _ in made]
        records.append(check_graphs(folder, int8, recipe, pictures, reference, threshold))
        graphs += int8
        biases[form] = made[0][1]
        advance(1)
    origin = {
        "calibration_set": calibration.id,
        "origin": calibration.manifest.origin,
        "pictures": calibration.manifest.count,
        "frames_used": len(sources[0].frames),
        "frames_for_bias": len(sources[0].fresh),
        "is_smoothed": {source.graph.role: source.is_smoothed for source in sources},
        # Subtracted from map and score, as a share of the threshold.
        "bias": biases,
    }
    (folder / ORIGIN).write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
    return graphs, records


@dataclass(frozen=True, slots=True)
class _Source:
    """Inputs for the INT8 forms of one graph.

    Attributes:
        graph: FP32.
        model: the same, smoothed where `is_smoothed`.
        frames, fresh: see `split`.
        probes: network inputs of the golden set, `tiles` of a picture.
    """

    graph: GraphFile
    model: onnx.ModelProto
    is_smoothed: bool
    frames: Frames
    fresh: Frames
    probes: Frames
    tiles: int

    def quantized(self, folder: Path, form: Form, threshold: float) -> tuple[GraphFile, float]:
        """Write one form and its report; also return the bias as a share of the threshold."""
        settings = Int8Settings(form=form)
        try:
            made = quantize(
                self.model, self.frames, settings, threshold, self.probes, self.fresh, self.tiles
            )
        except PrecisionError as error:
            raise PrecisionError(f"{self.graph.file}: {error}") from error
        file = self.graph.file.replace(".fp32.", f".int8-{form}.")
        onnx.save(made.model, str(folder / file))
        report = folder / REPORT.format(role=self.graph.role, form=form)
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(made.report.as_markdown(), encoding="utf-8")
        graph = self.graph.model_copy(update={"file": file, "precision": "int8", "form": form})
        return graph, made.report.chosen.shift


def _source(
    folder: Path,
    network: Network | TypeNamer,
    graph: GraphFile,
    recipe: Recipe,
    calibration: CalibrationSet,
    pictures: Sequence[GoldenPicture],
) -> _Source:
    shape = InputShape(network.settings.size_wh, recipe.tiles_wh, recipe.overlap)
    frames, fresh = split(calibration.frames(shape, recipe.geometry), shape.tiles)
    if not len(frames):
        raise PrecisionError(f"{calibration.folder}: expected pictures to calibrate on, found none")
    probes = np.concatenate([network_inputs(read_pixels(p.path), shape) for p in pictures])
    model = onnx.load(str(folder / graph.file))
    is_smoothed = has_blocks(network)
    if is_smoothed:
        model = _smooth_graph(network, frames, model)
    return _Source(graph, model, is_smoothed, frames, fresh, probes, shape.tiles)


def split(frames: Frames, tiles: int = 1) -> tuple[Frames, Frames]:
    """Split frames into those for calibration and fresh ones for the bias.

    Args:
        frames: (n, H, W, 3) uint8, the `tiles` of one picture after those of another.
        tiles: of a picture; they stay together.
    """
    is_fresh = np.arange(len(frames)) // tiles % FRESH_EVERY == FRESH_EVERY - 1
    return _thinned(frames[~is_fresh]), _thinned(frames[is_fresh])


def _thinned(frames: Frames) -> Frames:
    """Return at most FRAMES frames, evenly spaced."""
    if len(frames) <= FRAMES:
        return frames
    return frames[np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)]


def _smooth_graph(
    network: Network | TypeNamer, frames: Frames, plain: onnx.ModelProto
) -> onnx.ModelProto:
    """Export a network with smoothed blocks, with the metadata of `plain`."""
    smooth = smoothed(network, [torch.from_numpy(frame[None]) for frame in frames])
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "smooth.onnx"
        if isinstance(smooth, TypeNamer):
            export_types(smooth, path)
        else:
            export_detector(smooth, path)
        model = onnx.load(str(path))
    model.metadata_props.extend(plain.metadata_props)
    return model
