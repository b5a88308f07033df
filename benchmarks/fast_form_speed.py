"""What a frame takes in the full form and in fast forms, whatever their heads have learned.

    python -m benchmarks.fast_form_speed --run RUN --bundle BUNDLE --write
    nice -n -10 python -m benchmarks.fast_form_speed --bundle BUNDLE --only speed

The first command writes graphs of fast forms with random heads in FP32 and INT8, which takes
minutes; trained ones have the same operators and take the same time. The second one measures for
--seconds, all engines in turns, from a decoded 256x256 frame to score, map and decision, and the
engine alone. Frames are the bundle's golden pictures. All of them pass, as most parts of a line do.

Processor time is over all threads. Beside other work it changes little, while wall time grows: the
fastest tenth of the frames says most of what an idle machine would take.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np

from benchmarks.marked_table import replace_table
from edge.bundle.frame_limits_file import for_any_size
from edge.bundle.manifest import GraphFile, TensorSpec
from edge.bundle.store import Bundle, open_bundle
from edge.config.station import DecisionSettings
from edge.engines.onnx.engine import OnnxEngine
from edge.engines.openvino.engine import OpenVinoEngine
from edge.engines.protocol import Engine
from edge.errors import EdgeError
from edge.frame import Frame
from edge.inspection.inspector import Inspector

FRAME_WH = (256, 256)
STRIDE = 16
CALIBRATION_PICTURES = 12
ENGINES = {"ONNX Runtime": OnnxEngine, "OpenVINO": OpenVinoEngine}
FULL, FAST = "full", "fast"


@dataclass(frozen=True)
class Variant:
    """A fast form: its network input, and the backbone's last stage at the grid's stride."""

    side: int = 256
    last: int = 4


VARIANTS = {
    FAST: Variant(),
    "fast, one stage less": Variant(last=3),
    "fast, 224x224": Variant(side=224),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="of lite at 256x256, for --write")
    parser.add_argument("--bundle", type=Path, required=True, help="full form, FP32")
    parser.add_argument("--graphs", type=Path, default=Path("runs/fast/graphs"))
    parser.add_argument("--write", action="store_true", help="write graphs, measure nothing")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--only", choices=("speed", "memory", "throughput"))
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="file whose marked tables are replaced")
    options = parser.parse_args()
    if options.write:
        write(options)
        return
    tables = {"speed": speed, "memory": memory, "throughput": throughput}
    for name, table in tables.items():
        if options.only in (None, name):
            text = table(options)
            print(f"\n{text}", flush=True)
            if options.out:
                replace_table(options.out, f"fast form {name}", text)


def write(options: argparse.Namespace) -> None:
    """Write the graphs that are not there."""
    import onnx
    import torch

    from edge.methods.run import read_model, read_record
    from edge.toolchain.fast_form.form import new_network
    from edge.toolchain.fast_form.network import FastDetector
    from edge.toolchain.packing.export import export_detector
    from edge.toolchain.quantization.quantize import calibrate, quantized_graph
    from edge.toolchain.quantization.settings import Int8Settings

    torch.manual_seed(0)
    full = read_model(options.run, read_record(options.run))
    pictures = [frame.pixels_bgr[..., ::-1] for frame in frames_of(open_bundle(options.bundle))]
    for name in options.variants:
        variant = VARIANTS[name]
        settings, features = new_network(full).settings, copy.deepcopy(full.features)
        channels = (settings.channels[0], (80, 112)[variant.last - 3])
        features.backbone.taps = (2, variant.last, 5, 6)
        settings = replace(
            settings, channels=channels, size_wh=(variant.side,) * 2,
            grid_hw=(variant.side // STRIDE,) * 2, map_hw=(variant.side // 2,) * 2,
        )  # fmt: skip
        plain, quantized = (graph_path(options, name, precision) for precision in ("fp32", "int8"))
        if not plain.is_file():
            network = FastDetector(settings, features).eval().requires_grad_(False)
            export_detector(network, plain)
        if not quantized.is_file():
            shown = np.stack([cv2.resize(pixels, settings.size_wh) for pixels in pictures])
            found = calibrate(onnx.load(plain), shown, Int8Settings(form="cpu"))
            onnx.save(quantized_graph(found, found.layers), quantized)
        print(f"{name}: written", flush=True)


def graph_path(options: argparse.Namespace, name: str, precision: str) -> Path:
    return options.graphs / f"{name.replace(', ', '-').replace(' ', '-')}.{precision}.onnx"


@dataclass(frozen=True)
class Form:
    """A graph to load, and a bundle that describes it."""

    title: str
    bundle: Bundle
    graph: GraphFile
    path: Path

    def engine(self, kind: str, threads: int) -> Engine:
        return ENGINES[kind](self.path, self.graph, threads)


def forms(options: argparse.Namespace) -> Iterator[Form]:
    """The full form and those fast ones whose graphs are there."""
    bundle = open_bundle(options.bundle)
    yield Form(f"{FULL} | FP32", bundle, bundle.graph, bundle.folder / bundle.graph.file)
    for name in options.variants:
        for precision in ("fp32", "int8"):
            path = graph_path(options, name, precision)
            if path.is_file():
                graph = described(VARIANTS[name], path, precision)
                reference = graph.model_copy(update={"precision": "fp32"})
                manifest = bundle.manifest.model_copy(update={"graphs": (reference,)})
                title = f"{name} | {precision.upper()}"
                yield Form(title, replace(bundle, manifest=manifest), graph, path)


def described(variant: Variant, path: Path, precision: str) -> GraphFile:
    side, cells = variant.side, variant.side // 2
    return GraphFile(
        file=path.name, precision=precision,
        inputs=(TensorSpec(name="frame", shape=(1, side, side, 3), dtype="uint8"),),
        outputs=(
            TensorSpec(name="map", shape=(1, cells, cells), dtype="float32"),
            TensorSpec(name="score", shape=(1,), dtype="float32"),
        ),
    )  # fmt: skip


def speed(options: argparse.Namespace) -> str:
    """Milliseconds of frame to decision and of the engine alone, all engines in turns."""
    with ExitStack() as stack:
        steps = {}
        for form in forms(options):
            for kind in ENGINES:
                engine = stack.enter_context(form.engine(kind, options.threads))
                steps[f"{form.title} | {kind}"] = both(form.bundle, engine)
        times: dict[str, list[list[float]]] = {key: [] for key in steps}
        begin = time.perf_counter()
        while time.perf_counter() - begin < options.seconds:
            for key, (whole, bare) in steps.items():
                times[key] += in_turns(whole, bare)
    columns = ("fastest tenth", "median", "processor time")
    columns = (*columns, *(f"alone: {column}" for column in columns), "alone / whole")
    lines = ["| form | precision | engine | " + " | ".join(columns) + " |", "|---" * 10 + "|"]
    for key, found in times.items():
        values = np.array(found)
        tenth, middle = np.percentile(values, 10, axis=0), np.median(values, 0)
        busy = values.mean(0)
        cells = (tenth[0], middle[0], busy[1], tenth[2], middle[2], busy[3])
        text = " | ".join(f"{cell:.2f}" for cell in cells)
        lines.append(f"| {key} | {text} | {busy[3] / busy[1]:.2f} |")
    frames = min(map(len, times.values()))
    lines.append(f"\nMilliseconds, {options.threads} threads, {frames} frames of each.")
    return "\n".join(lines)


def in_turns(whole: Callable[[], object], bare: Callable[[], object]) -> list[list[float]]:
    """Wall and processor time of both; the first step, which finds cold caches, does not count."""
    rows = []
    for number in range(4):
        row = [*timed(whole), *timed(bare)]
        if number:
            rows.append(row)
    return rows


def timed(step: Callable[[], object]) -> tuple[float, float]:
    busy, start = time.process_time(), time.perf_counter()
    step()
    return 1e3 * (time.perf_counter() - start), 1e3 * (time.process_time() - busy)


def both(bundle: Bundle, engine: Engine) -> tuple[Callable[[], object], Callable[[], object]]:
    """Inspect the next frame, and run the engine alone."""
    passing = for_any_size(bundle).with_threshold(1e9)
    inspector = Inspector(passing, engine, DecisionSettings())
    frames = itertools.cycle(frames_of(bundle))
    spec = bundle.graph.inputs[0]
    ready = {spec.name: np.zeros(spec.shape, np.uint8)}
    return lambda: inspector.inspect(next(frames)), lambda: engine.run(ready)


def frames_of(bundle: Bundle) -> list[Frame]:
    """Golden pictures at FRAME_WH, at most CALIBRATION_PICTURES."""
    images = bundle.golden().images[:CALIBRATION_PICTURES]
    shown = [cv2.resize(bundle.golden_pixels(image), FRAME_WH) for image in images]
    now = datetime.now(timezone.utc)
    return [
        Frame("bench", number, time.monotonic_ns(), now, np.asarray(pixels, np.uint8))
        for number, pixels in enumerate(shown)
    ]


def alone(work: Callable[..., float], *arguments: object) -> float:
    """Do the work in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def memory(options: argparse.Namespace) -> str:
    """Resident memory of a process that inspects, without camera, outbox and broker."""
    lines = ["| form | precision | resident, ONNX Runtime, MB |", "|---" * 3 + "|"]
    for form in forms(options):
        resident = alone(resident_of, form, options.threads)
        lines.append(f"| {form.title} | {resident:.0f} |")
    return "\n".join(lines)


def resident_of(form: Form, threads: int) -> float:
    with form.engine("ONNX Runtime", threads) as engine:
        whole, _ = both(form.bundle, engine)
        for _ in range(20):
            whole()
        return read_status("VmRSS:") / 1e3


def read_status(key: str) -> float:
    """A value of this process in kB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(key))


def throughput(options: argparse.Namespace) -> str:
    """Parts a second of one process with two threads and of two with one each, in turns."""
    rows: dict[tuple[str, int, int], list[float]] = {}
    chosen = [form for form in forms(options) if form.title.startswith(f"{FAST} |")]
    for _ in range(2):
        for form in chosen:
            for processes, threads in ((1, 2), (2, 1)):
                rate = together(form, processes, threads, options.seconds)
                rows.setdefault((form.title, processes, threads), []).append(rate)
    lines = ["| form | precision | processes x threads | parts a second, two runs |"]
    lines.append("|---" * 4 + "|")
    for (title, processes, threads), rates in rows.items():
        both_runs = ", ".join(f"{rate:.0f}" for rate in rates)
        lines.append(f"| {title} | {processes} x {threads} | {both_runs} |")
    return "\n".join(lines)


def together(form: Form, processes: int, threads: int, seconds: float) -> float:
    """Parts a second of all processes, which begin together."""
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager:
        ready = manager.Barrier(processes)
        with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
            jobs = [pool.submit(rate_of, form, threads, seconds, ready) for _ in range(processes)]
            return sum(job.result() for job in jobs)


def rate_of(form: Form, threads: int, seconds: float, ready) -> float:
    with form.engine("ONNX Runtime", threads) as engine:
        whole, _ = both(form.bundle, engine)
        for _ in range(10):
            whole()
        ready.wait()
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            whole()
            count += 1
        return count / (time.perf_counter() - begin)


if __name__ == "__main__":
    try:
        main()
    except EdgeError as error:
        raise SystemExit(f"error: {error}") from error
