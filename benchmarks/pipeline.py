"""Whole line against the bare engine, in one run: what everything around the network costs.

    python -m benchmarks.pipeline --bundle demo/bundle [--spin off]

For each frame size: parts per second from decoded frame to result committed in the outbox, divided
by the rate of a bare ONNX Runtime loop over the same graph with the same threads; and the shrink
alone. Both loops alternate, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import get_args

import numpy as np
import onnxruntime

from edge.bundle.frame_limits_file import for_any_size
from edge.bundle.store import open_bundle
from edge.config.mqtt import SpoolSettings
from edge.config.station import DecisionSettings, EngineSettings, Spin
from edge.engines.load import load_engine
from edge.engines.onnx.engine import session_options
from edge.errors import EdgeError
from edge.frame import Frame
from edge.inspection.inspector import Inspector
from edge.inspection.preprocess import shrink
from edge.messages.identity import Identity
from edge.messages.result_payload import result_payload
from edge.outputs.outbox import Outbox, outbox_path
from edge.outputs.outbox_writer import OutboxWriter
from edge.station.recipes.recipes import model_info


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=Path("demo/bundle"))
    parser.add_argument("--sizes", nargs="+", default=["network", "640x480", "1280x1024"])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--frames", type=int, default=60, help="per round")
    spins = get_args(Spin)
    parser.add_argument("--spin", default="brief", choices=spins, help="as in a station file")
    options = parser.parse_args()
    bundle, settings = open_bundle(options.bundle), EngineSettings(spin=options.spin)
    with tempfile.TemporaryDirectory() as folder, load_engine(bundle, settings) as engine:
        session = onnxruntime.InferenceSession(
            str(bundle.path(bundle.graph.file)),
            session_options(engine.info.threads, spin=options.spin),
            providers=["CPUExecutionProvider"],
        )
        line = Line(bundle, engine, Path(folder))
        for size in options.sizes:
            print(json.dumps(measure(size, line, session, bundle, options)), flush=True)
        line.close()


class Line:
    """Inspector, writer and outbox as the product wires them, without camera and broker."""

    def __init__(self, bundle, engine, folder: Path):
        self.inspector = Inspector(for_any_size(bundle), engine, DecisionSettings())
        self.identity = Identity("bench", "bench", "boot")
        self.model = model_info(bundle.recipe.product, bundle, engine)
        self.outbox = Outbox(outbox_path(folder, "bench", "bench"), SpoolSettings())
        self.writer = OutboxWriter(self.outbox, lambda _: None)
        self.writer.start()

    def run(self, frames) -> None:
        """Judge and commit every frame."""
        for frame in frames:
            inspection, _ = self.inspector.inspect(frame)
            self.writer.put(result_payload(inspection, self.identity, self.model))
        if not self.writer.flush(30):
            raise SystemExit("the outbox did not take the results")

    def close(self) -> None:
        self.writer.stop(5)
        self.outbox.close()


def measure(size: str, line: Line, session, bundle, options) -> dict:
    width, height = bundle.recipe.size_wh
    if size != "network":
        width, height = map(int, size.split("x"))
    golden = bundle.golden()
    good = next(image for image in golden.images if image.verdict == "pass")
    picture = bundle.golden_pixels(good)
    import cv2

    pixels = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
    network = np.zeros(bundle.graph.inputs[0].shape, np.uint8)
    name = bundle.graph.inputs[0].name
    bare, whole, ratios = [], [], []
    for _ in range(options.rounds):
        start = time.perf_counter()
        for _ in range(options.frames):
            session.run(None, {name: network})
        middle = time.perf_counter()
        line.run(made(pixels, options.frames))
        end = time.perf_counter()
        bare.append(options.frames / (middle - start))
        whole.append(options.frames / (end - middle))
        ratios.append(whole[-1] / bare[-1])
    shrinks = [timed(lambda: shrink(pixels, bundle.recipe.size_wh)) for _ in range(50)]
    return {
        "frame": f"{width}x{height}",
        "bare_fps": round(statistics.median(bare), 1),
        "line_fps": round(statistics.median(whole), 1),
        "ratio": round(statistics.median(ratios), 3),
        "shrink_ms": round(statistics.median(shrinks) * 1e3, 3),
    }


def made(pixels, count):
    for index in range(count):
        yield Frame("bench", index, time.monotonic_ns(), datetime.now(timezone.utc), pixels)


def timed(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    try:
        main()
    except EdgeError as error:
        raise SystemExit(f"error: {error}") from error
