"""Every preset's graph on an NVIDIA GPU by ONNX Runtime: how near FP16 is, and how fast.

    python -m benchmarks.gpu_presets --only lite standard-types

Needs onnxruntime-gpu. Weights that no package has are random, at their true shapes, so the figures
are of arithmetic and speed, not of detection. The reference is the FP32 graph on the CPU; frames
are the demo's pictures, resized to the network's size.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime

from edge.bundle.manifest import GraphFile, TensorSpec
from edge.engines.onnx.engine import OnnxEngine
from edge.engines.onnx.gpu_engine import OnnxGpuEngine
from edge.engines.onnx.library import gpu_name
from edge.errors import EdgeError
from edge.picture_file import read_picture
from edge.toolchain.compile_check.preset_graphs import PRESET_GRAPHS, in_precision

PICTURES = sorted(Path("demo/images").rglob("*.png"))[::12]
RUNS = 100
TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(PRESET_GRAPHS), choices=PRESET_GRAPHS)
    options = parser.parse_args()
    print(f"ONNX Runtime {onnxruntime.__version__}, CUDA provider, {gpu_name()}, one frame a run\n")
    print("| graph | input | precision | ms p50 | ms p95 | map correlation | largest difference |")
    print("|---" * 7 + "|")
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            measure(name, Path(folder))


def measure(name: str, folder: Path) -> None:
    path = folder / "fp32.onnx"
    PRESET_GRAPHS[name].export(path)
    graph = describe(path)
    shape = graph.inputs[0].shape
    frames = [cv2.resize(read_picture(p), shape[2:0:-1])[None] for p in PICTURES]
    with OnnxEngine(path, graph) as engine:
        expected = [outputs(engine, graph, frame) for frame in frames]
    half = folder / "fp16.onnx"
    onnx.save(in_precision(onnx.load(path), "fp16"), half)
    for precision, file in (("fp32", path), ("fp16", half)):
        try:
            with OnnxGpuEngine(file, graph, "cuda") as engine:
                found = [outputs(engine, graph, frame) for frame in frames]
                times = [timed(engine, graph, frames[i % len(frames)]) for i in range(RUNS)]
        except Exception as error:  # noqa: BLE001 - the table tells what does not run
            print(f"| {name} | {shape[2]}x{shape[1]} | {precision} | {error} | | | |", flush=True)
            continue
        p50, p95 = np.percentile(times, (50, 95))
        likeness, difference = compare(expected, found)
        print(
            f"| {name} | {shape[2]}x{shape[1]} | {precision} | {p50:.2f} | {p95:.2f} | "
            f"{likeness:.5f} | {difference:.2g} |",
            flush=True,
        )


def describe(path: Path) -> GraphFile:
    """Tensors of an exported file."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs, outputs = (
        tuple(TensorSpec(name=n.name, shape=tuple(n.shape), dtype=TYPES[n.type]) for n in nodes)
        for nodes in (session.get_inputs(), session.get_outputs())
    )
    role = "types" if "score" not in {spec.name for spec in outputs} else "detect"
    return GraphFile(
        file="models/graph.onnx", role=role, precision="fp32", inputs=inputs, outputs=outputs
    )


def outputs(engine, graph: GraphFile, frame: np.ndarray) -> dict[str, np.ndarray]:
    return {n: a.copy() for n, a in engine.run({graph.inputs[0].name: frame}).items()}


def timed(engine, graph: GraphFile, frame: np.ndarray) -> float:
    start = time.perf_counter()
    engine.run({graph.inputs[0].name: frame})
    return 1e3 * (time.perf_counter() - start)


def compare(expected: list[dict], found: list[dict]) -> tuple[float, float]:
    """Lowest correlation of a large output, and the largest difference as a share of its range."""
    likeness, difference = 1.0, 0.0
    for one, other in zip(expected, found, strict=True):
        for name, array in one.items():
            if array.size < 2:
                continue
            spread = max(float(np.ptp(array)), 1e-9)
            difference = max(difference, float(np.abs(array - other[name]).max()) / spread)
            flat = np.stack([array.ravel(), other[name].ravel()])
            likeness = min(likeness, float(np.corrcoef(flat)[0, 1]))
    return likeness, difference


if __name__ == "__main__":
    try:
        main()
    except EdgeError as error:
        raise SystemExit(f"error: {error}") from error
