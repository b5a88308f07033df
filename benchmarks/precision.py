"""INT8 on the CPU against the FP32 graph of a bundle: rate, and quality on labelled pictures.

    python -m benchmarks.precision demo/bundle --data ../shared/data/pcb_traces

The graph is quantized here, on good training pictures of the data set, or on a calibration set.
Rates: both graphs through the line's own engine, one frame at a time, in short alternating rounds,
so that a busy machine slows both; the ratio is the median over rounds. Quality: edge-eval's own
measurement, with the bundle's threshold for both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx

from edge.bundle.manifest import GraphFile
from edge.bundle.store import Bundle, open_bundle
from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import read_image_set, read_pixels
from edge.engines.onnx.engine import OnnxEngine
from edge.errors import EdgeError
from edge.evaluation.evaluate import Evaluation, evaluate
from edge.toolchain.packing.int8_graphs import split
from edge.toolchain.quantization.calibration_set import read_calibration_set
from edge.toolchain.quantization.int8 import QuantizedModel, quantize
from edge.toolchain.quantization.settings import Int8Settings

METRICS = ("image_auroc", "image_ap", "pixel_auroc", "aupro", "false_reject_rate", "recall")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, help="labelled set in the MVTec layout")
    parser.add_argument("--calibration", type=Path, help="calibration set; default: from --data")
    parser.add_argument("--frames", type=int, default=64, help="to calibrate on")
    parser.add_argument("--calibrator", default="minmax")
    parser.add_argument("--weight-bits", type=int, choices=(7, 8), help="default: 7")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=0, help="0 = physical cores")
    parser.add_argument("--report", type=Path, help="also write the layers' table (markdown)")
    options = parser.parse_args()
    bundle = open_bundle(options.bundle)
    columns, rows = bundle.recipe.tiles_wh
    frames, fresh = split(calibration_frames(bundle, options), columns * rows)
    settings = Int8Settings(
        form="cpu", calibrator=options.calibrator, weight_bits=options.weight_bits
    )
    model = onnx.load(str(bundle.path(bundle.graph.file)))
    made = quantize(model, frames, settings, bundle.thresholds.score.value, fresh=fresh)
    if options.report:
        options.report.write_text(made.report.as_markdown(), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(bundle, made, Path(folder), options), indent=2))


def calibration_frames(bundle: Bundle, options: argparse.Namespace) -> np.ndarray:
    recipe = bundle.recipe
    shape = InputShape(recipe.size_wh, recipe.tiles_wh, recipe.overlap)
    if options.calibration:
        return read_calibration_set(options.calibration).frames(shape)[: options.frames]
    if not options.data:
        raise SystemExit("give --data or --calibration")
    good = read_image_set(options.data).train
    step = max(1, len(good) // options.frames)
    return np.concatenate(
        [network_inputs(read_pixels(sample.path), shape) for sample in good[::step]]
    )[: options.frames]


def measure(
    bundle: Bundle, made: QuantizedModel, folder: Path, options: argparse.Namespace
) -> dict[str, object]:
    path = folder / "int8.onnx"
    onnx.save(made.model, str(path))
    graph = bundle.graph.model_copy(update={"precision": "int8"})
    files: list[tuple[Path, GraphFile]] = [
        (bundle.path(bundle.graph.file), bundle.graph),
        (path, graph),
    ]
    engines = [OnnxEngine(file, spec, options.threads) for file, spec in files]
    row: dict[str, object] = {
        "bundle": bundle.manifest.name,
        "size_wh": bundle.recipe.size_wh,
        "threads": engines[0].info.threads,
        "bias": round(made.report.chosen.shift, 4),
        "left_float": made.report.excluded,
        "score_difference_on_calibration": round(made.report.chosen.score, 4),
        **rates(bundle, engines, options.rounds),
    }
    if options.data:
        row |= quality(bundle, engines, options.data)
    return row


def rates(bundle: Bundle, engines: list[OnnxEngine], rounds: int, runs: int = 5) -> dict:
    spec = bundle.graph.inputs[0]
    frame = np.random.default_rng(0).integers(0, 255, spec.shape, np.uint8)
    clocks = {"wall": time.perf_counter, "cpu": time.process_time}
    taken = {clock: ([], []) for clock in clocks}
    for _ in range(rounds):
        for place, engine in enumerate(engines):
            engine.run({spec.name: frame})
            start = {name: clock() for name, clock in clocks.items()}
            for _ in range(runs):
                engine.run({spec.name: frame})
            for name, clock in clocks.items():
                taken[name][place].append((clock() - start[name]) / runs)
    fp32, int8 = taken["wall"]
    # A busy machine slows whole rounds: the best ones say what the graphs cost by themselves.
    return {
        "fp32_ms": round(statistics.median(fp32) * 1e3, 2),
        "int8_ms": round(statistics.median(int8) * 1e3, 2),
        "ratio": round(statistics.median(a / b for a, b in zip(fp32, int8)), 2),
        "ratio_of_best_rounds": round(min(fp32) / min(int8), 2),
        "ratio_of_cpu_time": round(statistics.median(a / b for a, b in zip(*taken["cpu"])), 2),
    }


def quality(bundle: Bundle, engines: list[OnnxEngine], data: Path) -> dict:
    images = read_image_set(data)
    found = [evaluate(bundle, engine, images, lambda _: None) for engine in engines]
    before, after = (result.as_json() for result in found)
    threshold = max(abs(bundle.thresholds.score.value), 1e-6)
    return {
        "metrics": {name: [before[name], after[name]] for name in METRICS},
        "verdicts_flipped": flips(*found),
        "pictures": len(found[0].parts),
        "largest_score_difference": round(
            max(abs(a.score - b.score) for a, b in judged_pairs(*found)) / threshold, 4
        ),
    }


def flips(a: Evaluation, b: Evaluation) -> int:
    return sum(x.is_rejected != y.is_rejected for x, y in judged_pairs(a, b))


def judged_pairs(a: Evaluation, b: Evaluation):
    return zip(a.parts, b.parts, strict=True)


if __name__ == "__main__":
    try:
        main()
    except EdgeError as error:
        raise SystemExit(f"error: {error}") from error
