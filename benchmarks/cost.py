"""What a frame costs beside PatchCore on the same features, in one run.

    python -m benchmarks.cost --work runs/quality --sets pcb_traces magnetic_tile [--spin on]

Reads finished runs and bundles of benchmarks.quality. Ours is the bundle's whole graph on the
line's engine; PatchCore's is the backbone alone on the same runtime and threads, the two in turns,
and its search in NumPy. Both sessions spin as --spin and engine.spin have it.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path
from typing import get_args

import numpy as np
import onnxruntime
import torch

from benchmarks.image_sets import SETS, find_set
from benchmarks.references import patchcore
from edge.bundle.store import open_bundle
from edge.config.station import EngineSettings, Spin
from edge.engines.load import load_engine
from edge.engines.onnx_engine import session_options
from edge.errors import EdgeError
from edge.models.detector import Detector
from edge.models.settings import BranchSettings
from edge.training.dataset import hold_out, read_image_set, read_pixels
from edge.training.feature_cache import extract
from edge.training.frames import InputShape, network_inputs
from edge.training.run import read_model, read_record

PICTURES = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs/quality"))
    spins = get_args(Spin)
    parser.add_argument("--spin", default="brief", choices=spins, help="as in a station file")
    options = parser.parse_args()
    print("| set | ours, ms | PatchCore: network, ms | search, ms | ours / PatchCore |")
    print("|---" * 5 + "|")
    rows = []
    for name in options.sets:
        ours, network, search = measure(name, options)
        rows.append((ours, network + search))
        ratio = ours / (network + search)
        print(f"| {name} | {ours:.1f} | {network:.1f} | {search:.1f} | {ratio:.3f} |", flush=True)
    ours, theirs = np.mean(rows, 0)
    print(f"| mean | {ours:.1f} | | {theirs:.1f} in all | {ours / theirs:.3f} |")


def measure(name: str, options: argparse.Namespace) -> tuple[float, float, float]:
    run, folder = (options.work / f"{name}-{options.seed}-fused{kind}" for kind in ("", "-bundle"))
    record = read_record(run)
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
    search = patchcore(
        features(train), features(pictures), detector.features.grid_hw, detector.smooth.size_hw
    ).search_ms
    frames = [network_inputs(read_pixels(p.path), shape)[:1] for p in pictures]
    bundle = open_bundle(folder)
    with load_engine(bundle, EngineSettings(spin=options.spin)) as engine:
        session = backbone_session(detector, frames[0], engine.info.threads, options.spin)
        times: dict[str, list[float]] = {"ours": [], "network": []}
        for frame in itertools.chain(frames[:3], frames):
            start = time.perf_counter()
            engine.run({"frame": frame})
            middle = time.perf_counter()
            session.run(None, {"frame": frame})
            times["network"].append(time.perf_counter() - middle)
            times["ours"].append(middle - start)
    ours, network = (1e3 * float(np.median(times[key][3:])) for key in ("ours", "network"))
    return ours, network, search


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
