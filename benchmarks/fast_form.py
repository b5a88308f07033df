"""The fast form beside the full form: what it costs, what it loses, and parts a second and core.

    python -m benchmarks.fast_form --work runs/base --out docs/speed.md
    python -m benchmarks.fast_form --work runs/base --sets pcb_traces --only speed --rounds 40

Reads finished runs of benchmarks.quality and builds both bundles of each, with INT8 graphs for
those of the first set. Bundles and rows that are there are kept, unless --again.

Quality is on labelled test pictures, which nothing was trained or chosen on. Speed is of the first
set, 256x256 frames, from decoded frame to score, map and decision, and of the engine alone, all
engines in turns; medians of short blocks, and the processor time of a frame over all threads, which
other work on the machine hardly changes. Throughput is of the fast form, in processes as stations
are: one with two threads against two with one thread each.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np

from benchmarks.image_sets import SETS, find_set
from benchmarks.marked_table import replace_table
from edge.bundle.frame_limits_file import for_any_size
from edge.bundle.store import Bundle, open_bundle
from edge.config.station import DecisionSettings, EngineSettings
from edge.data.image_set import hold_out, read_image_set, read_pixels
from edge.engines.load import load_engine
from edge.engines.onnx.engine import OnnxEngine
from edge.engines.openvino.engine import OpenVinoEngine
from edge.engines.protocol import Engine
from edge.errors import EdgeError
from edge.evaluation.evaluate import evaluate
from edge.evaluation.metrics import recall_at
from edge.frame import Frame
from edge.inspection.inspector import Inspector
from edge.toolchain.engine_build.source_graphs import cpu_graph
from edge.toolchain.fast_form.agreement import AGREEMENT
from edge.toolchain.quantization.calibration_set import freeze_calibration_set

FRAME_WH = (256, 256)
CALIBRATION_PICTURES = 64
BLOCK = 10
FORMS = ("full", "fast")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs/base"), help="folder of the runs")
    parser.add_argument("--bundles", type=Path, default=Path("runs/fast"), help="folder to write")
    parser.add_argument("--only", choices=("quality", "speed", "throughput"))
    parser.add_argument("--rounds", type=int, default=30, help="of the speed")
    parser.add_argument("--threads", type=int, default=0, help="of the speed; 0 = cores")
    parser.add_argument("--seconds", type=float, default=10, help="of each throughput")
    parser.add_argument("--out", type=Path, help="file whose marked tables are replaced")
    parser.add_argument("--again", action="store_true", help="build and measure anew")
    options = parser.parse_args()
    options.bundles.mkdir(parents=True, exist_ok=True)
    tables = {"quality": quality, "speed": speed, "throughput": throughput}
    for name, table in tables.items():
        if options.only in (None, name):
            text = table(options)
            print(f"\n{text}", flush=True)
            if options.out:
                replace_table(options.out, f"fast form {name}", text)


def built(name: str, form: str, options: argparse.Namespace) -> Bundle:
    """The bundle of a form, built unless it is there."""
    folder = options.bundles / f"{name}-{options.seed}-{form}"
    if options.again or not (folder / "bundle.json").is_file():
        run = options.work / f"{name}-{options.seed}-fused"
        data = find_set(name, options.bundles)
        arguments = ["--fast", "--accept-lower", "--data", data] if form == "fast" else []
        if name == options.sets[0]:
            arguments += ["--int8", calibration(name, data, options)]
        code = "from edge.cli.build import main; main()"
        start = time.perf_counter()
        command = [sys.executable, "-c", code, run, "--out", folder, *arguments]
        subprocess.run(list(map(str, command)), check=True)
        print(f"{name}: {form} form built in {time.perf_counter() - start:.0f} s", flush=True)
    return open_bundle(folder)


def calibration(name: str, data: Path, options: argparse.Namespace) -> Path:
    """A calibration set of good training pictures."""
    folder = options.bundles / f"{name}-calibration"
    if not folder.is_dir():
        images = read_image_set(data)
        train, _ = hold_out(images.train, images.has_groups, options.seed)
        some = train[:: max(1, len(train) // CALIBRATION_PICTURES)][:CALIBRATION_PICTURES]
        pictures = ((read_pixels(sample.path), sample.path.name) for sample in some)
        freeze_calibration_set(folder, pictures, f"training pictures of {name}")
    return folder


def quality(options: argparse.Namespace) -> str:
    """A row per set and form, then the means."""
    store = options.bundles / "rows.json"
    rows = json.loads(store.read_text()) if store.is_file() and not options.again else {}
    for name in options.sets:
        for form in FORMS:
            key = f"{name} {options.seed} {form}"
            if key not in rows:
                rows[key] = figures(name, form, options)
                store.write_text(json.dumps(rows, indent=1))
                print(key, rows[key], flush=True)
    columns = ("image AUROC", "AUPRO", "recall at 1 %", "recall at 5 %")
    head = "| set | form | " + " | ".join(columns) + " | beside the full form, held out |"
    lines = [head, "|---" * (len(columns) + 3) + "|"]
    for form in FORMS:
        found = [rows[f"{name} {options.seed} {form}"] for name in options.sets]
        for name, row in zip(options.sets, found, strict=True):
            lines.append(line(name, form, [row[c] for c in columns], row["agreement"]))
        means = [np.mean([row[c] for row in found if row[c] is not None]) for c in columns]
        lines.append(line("mean", form, means, ""))
    return "\n".join(lines)


def figures(name: str, form: str, options: argparse.Namespace) -> dict[str, object]:
    """Figures of one form on the set's test pictures."""
    bundle = built(name, form, options)
    images = read_image_set(find_set(name, options.bundles))
    with load_engine(bundle, EngineSettings()) as engine:
        found = evaluate(bundle, engine, images, lambda _: None)
    labels = np.array([not part.sample.is_good for part in found.parts])
    scores = np.array([part.score for part in found.parts])
    agreement = ""
    if form == "fast":
        seen = json.loads((bundle.folder / AGREEMENT).read_text())
        agreement = (
            f"rank correlation {seen['rank_correlation']:.3f}, "
            f"{seen['verdict_flips']:.1%} verdicts flipped"
        )
    return {
        "image AUROC": found.image_auroc,
        "AUPRO": None if np.isnan(found.aupro) else found.aupro,
        "recall at 1 %": recall_at(labels, scores, 0.01),
        "recall at 5 %": recall_at(labels, scores, 0.05),
        "agreement": agreement,
    }


def line(name: str, form: str, values, last: str) -> str:
    cells = " | ".join("-" if value is None else f"{value:.3f}" for value in values)
    return f"| {name} | {form} | {cells} | {last} |"


def speed(options: argparse.Namespace) -> str:
    """Milliseconds of frame to decision and of the engine alone, all engines in turns."""
    name = options.sets[0]
    frames = list(made(name, options))
    with ExitStack() as stack:
        steps: dict[str, tuple[Callable[[int], object], Callable[[int], object]]] = {}
        for form in FORMS:
            bundle = built(name, form, options)
            for title, engine in engines(bundle, options.threads):
                stack.enter_context(engine)
                steps[f"{form} | {title}"] = both(bundle, engine, frames)
        times: dict[str, list[list[float]]] = {key: [] for key in steps}
        for _ in range(options.rounds):
            for key, (whole, bare) in steps.items():
                times[key].append([*block(whole), *block(bare)])
    columns = ("frame to decision", "its processor time", "engine alone", "its processor time")
    lines = ["| form | engine | " + ", ms | ".join(columns) + ", ms | alone / whole |"]
    lines.append("|---" * (len(columns) + 3) + "|")
    for key, found in times.items():
        values = np.median(found, 0)
        cells = " | ".join(f"{value:.2f}" for value in values)
        lines.append(f"| {key} | {cells} | {values[3] / values[1]:.2f} |")
    return "\n".join(lines)


def both(
    bundle: Bundle, engine: Engine, frames: list[Frame]
) -> tuple[Callable[[int], object], Callable[[int], object]]:
    inspector = Inspector(for_any_size(bundle), engine, DecisionSettings())
    spec = bundle.graph.inputs[0]
    ready = {spec.name: np.zeros(spec.shape, np.uint8)}
    return lambda i: inspector.inspect(frames[i % len(frames)]), lambda _: engine.run(ready)


def block(step: Callable[[int], object]) -> tuple[float, float]:
    """Median milliseconds of a step over a block, and its mean processor time.

    The first step, which finds cold caches, does not count.
    """
    step(0)
    times = []
    busy = time.process_time()
    for number in range(1, BLOCK):
        start = time.perf_counter()
        step(number)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times), 1e3 * (time.process_time() - busy) / len(times)


def engines(bundle: Bundle, threads: int) -> Iterator[tuple[str, Engine]]:
    """Both runtimes in the precisions that the bundle has."""
    for precision in precisions(bundle):
        source = cpu_graph(bundle, bundle.graph, precision)
        for title, kind in (("ONNX Runtime", OnnxEngine), ("OpenVINO", OpenVinoEngine)):
            yield f"{title} {precision.upper()}", kind(source.path, source.graph, threads)


def precisions(bundle: Bundle) -> list[str]:
    """Of FP32 and INT8 those that the bundle has a graph in."""
    found = {graph.precision for graph in bundle.manifest.graphs}
    return [precision for precision in ("fp32", "int8") if precision in found]


def made(name: str, options: argparse.Namespace) -> Iterator[Frame]:
    """Test frames of the set at FRAME_WH."""
    images = read_image_set(find_set(name, options.bundles))
    for number, sample in enumerate(images.test[:: max(1, len(images.test) // 16)][:16]):
        pixels = cv2.resize(read_pixels(sample.path), FRAME_WH, interpolation=cv2.INTER_AREA)
        now = datetime.now(timezone.utc)
        yield Frame("bench", number, time.monotonic_ns(), now, np.asarray(pixels, np.uint8))


def throughput(options: argparse.Namespace) -> str:
    """Parts a second and core of one process with two threads against two with one each."""
    name = options.sets[0]
    bundle = built(name, "fast", options)
    lines = ["| precision | processes x threads | parts a second | and core |", "|---" * 4 + "|"]
    for precision in precisions(bundle):
        for processes, threads in ((1, 2), (2, 1)):
            rates = [
                sum(together(bundle.folder, name, precision, processes, threads, options))
                for _ in range(3)
            ]
            rate = statistics.median(rates)
            cells = f"{precision.upper()} | {processes} x {threads} | {rate:.1f} | {rate / 2:.1f}"
            lines.append(f"| {cells} |")
    return "\n".join(lines)


def together(folder, name, precision, processes, threads, options) -> list[float]:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        start = time.time() + 5.0
        jobs = [
            pool.submit(rate_of, folder, name, precision, threads, start, options)
            for _ in range(processes)
        ]
        return [job.result() for job in jobs]


def rate_of(folder: Path, name: str, precision, threads: int, start: float, options) -> float:
    """Parts a second of one process from the common start on."""
    bundle = open_bundle(folder)
    source = cpu_graph(bundle, bundle.graph, precision)
    frames = list(made(name, options))
    with OnnxEngine(source.path, source.graph, threads) as engine:
        whole, _ = both(bundle, engine, frames)
        for number in range(20):
            whole(number)
        time.sleep(max(0.0, start - time.time()))
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < options.seconds:
            whole(count)
            count += 1
        return count / (time.perf_counter() - begin)


if __name__ == "__main__":
    try:
        main()
    except EdgeError as error:
        raise SystemExit(f"error: {error}") from error
