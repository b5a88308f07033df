"""What a frame costs beside PatchCore on the same features, in one run.

    python -m benchmarks.cost --work runs/quality --sets pcb_traces magnetic_tile [--spin on]
    python -m benchmarks.cost --work runs/quality --precision int8 [--threads 1]

Reads finished runs and bundles of benchmarks.quality. Ours is the bundle's whole graph on the
line's engine; PatchCore's is the backbone alone in FP32 on the same runtime and threads, and its
search in NumPy on as many. The three take short turns, since a machine's pace changes; the ratio is
the median over rounds. Both sessions spin as --spin and engine.spin have it. One thread tells a
frame's processor time, which is what a core per camera costs; two do not halve it. With int8 the
bundles have to be built with `edge-build --int8`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import onnxruntime
import torch
from threadpoolctl import threadpool_limits

from benchmarks.image_sets import SETS, find_set
from benchmarks.references import PatchCore
from edge.bundle.store import open_bundle
from edge.config.station import Spin
from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import hold_out, read_image_set, read_pixels
from edge.engines.onnx.engine import OnnxEngine, physical_cores, session_options
from edge.errors import EdgeError
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.settings import BranchSettings
from edge.methods.run import read_model, read_record
from edge.toolchain.engine_build.source_graphs import cpu_graph
from edge.training.feature_cache import extract

PICTURES = 8
ROUNDS = 15
# For threads that still wait actively after the step before.
PAUSE_S = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs/quality"))
    spins = get_args(Spin)
    parser.add_argument("--spin", default="brief", choices=spins, help="as in a station file")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "int8"), help="of ours")
    cores = physical_cores()
    parser.add_argument("--threads", type=int, default=cores, choices=range(1, cores + 1))
    options = parser.parse_args()
    print("| set | ours, ms | PatchCore: network, ms | search, ms | ours / PatchCore |")
    print("|---" * 5 + "|")
    rows = []
    for name in options.sets:
        with threadpool_limits(options.threads):
            rounds = measure(name, options)
        ours, network, search = np.median(rounds, 0)
        ratio = np.median(rounds[:, 0] / rounds[:, 1:].sum(1))
        rows.append((ours, network + search, ratio))
        print(f"| {name} | {ours:.1f} | {network:.1f} | {search:.1f} | {ratio:.3f} |", flush=True)
    ours, theirs, ratio = np.mean(rows, 0)
    print(f"| mean | {ours:.1f} | | {theirs:.1f} in all | {ratio:.3f} |")


def measure(name: str, options: argparse.Namespace) -> np.ndarray:
    """Milliseconds of ours, PatchCore's network and its search, (ROUNDS, 3)."""
    run, folder = (options.work / f"{name}-{options.seed}-fused{kind}" for kind in ("", "-bundle"))
    record = read_record(run)
    bundle = open_bundle(folder)
    source = cpu_graph(bundle, bundle.graph, options.precision)
    shape = InputShape(record.model.size_wh)
    images = read_image_set(find_set(name, options.work))
    train, _ = hold_out(images.train, images.has_groups, options.seed)
    backbone = record.model.backbone.model_copy(update={"stride": 8})
    plain = {"backbone": backbone, "branches": BranchSettings()}
    detector = Detector(record.model.model_copy(update=plain))
    detector.features.load_state_dict(read_model(run, record).features.state_dict())
    detector.eval()

    def features(samples):
        out = []
        for sample in samples:
            groups = extract(detector, network_inputs(read_pixels(sample.path), shape))
            out.append(torch.cat(groups, -1)[0].numpy().astype(np.float16))
        return np.stack(out)

    pictures = images.test[:: max(1, len(images.test) // PICTURES)][:PICTURES]
    grid_hw, map_hw = detector.features.grid_hw, detector.smooth.size_hw
    reference, tokens = PatchCore(features(train), grid_hw, map_hw), features(pictures)
    frames = [network_inputs(read_pixels(p.path), shape)[:1] for p in pictures]
    threads, spin = options.threads, options.spin
    with OnnxEngine(source.path, source.graph, threads, spin=spin) as engine:
        session = backbone_session(detector, frames[0], threads, spin)
        steps = (
            lambda i: engine.run({"frame": frames[i]}),
            lambda i: session.run(None, {"frame": frames[i]}),
            lambda i: reference.search(tokens[i]),
        )
        return np.array([[block(step) for step in steps] for _ in range(ROUNDS)])


def block(step: Callable[[int], object]) -> float:
    """Median milliseconds of a step over the pictures, but the first, which finds cold caches."""
    times = []
    time.sleep(PAUSE_S)
    for picture in range(PICTURES):
        start = time.perf_counter()
        step(picture)
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times[1:]))


class Backbone(torch.nn.Module):
    """The frozen features alone."""

    def __init__(self, detector: Detector):
        super().__init__()
        self.detector = detector

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        return torch.cat(self.detector.extract(frame), -1)


def backbone_session(detector: Detector, frame: np.ndarray, threads: int, spin: Spin):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "backbone.onnx"
        backbone, example = Backbone(detector).eval(), (torch.from_numpy(frame),)
        program = torch.onnx.export(backbone, example, input_names=["frame"], verbose=False)
        program.save(str(path))
        return onnxruntime.InferenceSession(
            str(path), session_options(threads, spin=spin), providers=["CPUExecutionProvider"]
        )


if __name__ == "__main__":
    try:
        main()
    except EdgeError as error:
        raise SystemExit(f"error: {error}") from error
