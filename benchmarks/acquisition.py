"""From trigger to verdict on a real station, and what everything around the engine adds to it.

    python -m benchmarks.acquisition --parts 10000 [--bundle demo/bundle] [--camera ADDRESS]

One software trigger after the other, 1280x1024 Mono8, from Aravis's fake GigE camera on loopback
when it is installed, else from test://conveyor. `over_engine_ms` is the time from the complete
frame in the driver's hands to the verdict, less the engine's own time: conversion, hand-over, pre-
and post-processing. `transfer_ms` lies before it: from exposure to the complete frame. The bare
engine is timed alone before, with the same input. `processor_ms` counts processor time alone, which
other work on the machine hardly changes: from the buffer in hand to the mailbox, and of the
judgement without the engine. Without --bundle a tiny graph judges, so that the
line itself shows. The check for repeated pictures remembers one: the fake camera repeats its 255.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.cameras.genicam.aravis_buffers import BufferReader
from edge.cameras.genicam.session import Received, Session, SessionSource
from edge.config.station import StationConfig
from edge.engines.onnx.engine import OnnxEngine
from edge.frame import Frame
from edge.inspection.inspector import Inspected, Inspector
from edge.station.acquisition import acquire
from edge.station.capture import frozen_picture
from edge.station.capture.mailbox import Mailbox
from edge.station.station import Station
from edge.trigger import Trigger
from tests.support.bundles import make_bundle, with_two_graphs
from tests.support.gige_camera import PROGRAM, GigeCamera, camera_port
from tests.support.gobject import gobject_or_skip

SIZE_WH = (1280, 1024)
SERIAL = "BENCH01"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", type=int, default=10_000)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--camera", help="address of another camera")
    options = parser.parse_args()
    frozen_picture.MEMORY = 1
    with tempfile.TemporaryDirectory() as scratch, camera(options.camera) as settings:
        bundle = options.bundle or with_two_graphs(make_bundle(Path(scratch), "fast"))
        values = {
            "node": "bench",
            "station": "bench",
            "bundle": bundle.resolve(),
            "camera": settings,
            "trigger": {"by": "software", "frame_timeout_ms": 2000},
            "commands": {"allow": ["trigger"]},
            "mqtt": {"broker": "none"},
        }
        figures = measure(StationConfig.model_validate(values), Path(scratch), options.parts)
        print(json.dumps({"camera": settings["source"], **figures}))


@contextmanager
def camera(address: str | None) -> Iterator[dict[str, Any]]:
    """Give the settings of the camera, and run the fake one meanwhile."""
    width, height = SIZE_WH
    if address is not None:
        yield {"source": address}
    elif shutil.which(PROGRAM) is None or not has_aravis():
        yield {"source": f"test://conveyor?size={width}x{height}"}
    else:
        features = {"PixelFormat": "Mono8", "Width": width, "Height": height}
        with camera_port(), GigeCamera(SERIAL).running():
            yield {"source": f"genicam://{SERIAL}", "features": features}


def has_aravis() -> bool:
    """Tell whether Aravis can be used from here."""
    try:
        gobject_or_skip("Aravis", "0.8")
    except pytest.skip.Exception:
        return False
    return True


def measure(config: StationConfig, folder: Path, parts: int) -> dict[str, Any]:
    """Trigger part after part, each when the result of the one before is out."""
    results: list[dict[str, Any]] = []
    came = threading.Semaphore(0)

    def on_result(payload: dict[str, Any]) -> None:
        results.append(payload)
        came.release()

    received, spent = receptions(), processor_times()
    station = Station(config, folder, on_result=on_result)
    bare_ms = bare_engine_ms(station)
    line = threading.Thread(target=station.run)
    line.start()
    capture = station._capture  # noqa: SLF001
    while not capture.state.connected and line.is_alive():
        time.sleep(0.01)
    for _ in range(parts):
        while not isinstance(acquire.request_trigger(capture, {}), Trigger):
            time.sleep(0.0005)
        if not came.acquire(timeout=60):
            raise SystemExit("a trigger had no result within a minute")
    station.request_stop()
    line.join()
    judged = [result for result in results if result["score"] is not None]
    times = [result["times"] for result in judged]
    transfers = [received.get(result["views"][0]["frame_id"], 0.0) for result in judged]
    after = [
        each["total_ms"] - transfer - each["infer_ms"]
        for each, transfer in zip(times, transfers, strict=True)
    ]
    verdict = [result["trigger"]["wait_ms"] + result["times"]["total_ms"] for result in judged]
    return {
        "parts": len(results),
        "judged": len(judged),
        "bare_engine_ms": percentiles(bare_ms),
        "trigger_to_verdict_ms": percentiles(verdict),
        "transfer_ms": percentiles(transfers),
        "over_engine_ms": percentiles(after),
        "of_that": {
            "conversion_and_hand_over_ms": percentiles(
                [
                    each["waiting_ms"] - transfer
                    for each, transfer in zip(times, transfers, strict=True)
                ]
            ),
            "preprocess_ms": percentiles([each["preprocess_ms"] for each in times]),
            "postprocess_ms": percentiles([each["postprocess_ms"] for each in times]),
        },
        "infer_ms": percentiles([each["infer_ms"] for each in times]),
        "processor_ms": {name: percentiles(each) for name, each in spent.items() if each},
    }


def receptions() -> dict[int, float]:
    """Note for each GigE frame how long it took from exposure to complete, milliseconds by id."""
    taken: dict[int, float] = {}
    completed: dict[int | None, int] = {}
    read, make = BufferReader.received, SessionSource._frame  # noqa: SLF001

    def noted(reader: BufferReader, buffer: Any, now_ns: int) -> Received | None:
        received = read(reader, buffer, now_ns)
        if received is not None:
            completed[received.device_ns] = now_ns
        return received

    def framed(source: SessionSource, session: Session, received: Received) -> Frame:
        frame = make(source, session, received)
        taken[frame.frame_id] = (completed.pop(received.device_ns) - frame.captured_ns) / 1e6
        return frame

    BufferReader.received = noted  # type: ignore[method-assign]
    SessionSource._frame = framed  # type: ignore[method-assign]  # noqa: SLF001
    return taken


def processor_times() -> dict[str, list[float]]:
    """Note for each GigE frame what its way takes of a processor, milliseconds, engine aside."""
    spent: dict[str, list[float]] = {"hand_over": [], "judgement": []}
    began, engine = [0.0], [0.0]
    read, put, run, inspect = BufferReader.received, Mailbox.put, OnnxEngine.run, Inspector.inspect

    def noted(reader: BufferReader, buffer: Any, now_ns: int) -> Received | None:
        began[0] = time.thread_time()
        return read(reader, buffer, now_ns)

    def handed_over(mailbox: Mailbox, frame: Frame, *, wait: bool) -> Frame | None:
        refused = put(mailbox, frame, wait=wait)
        if not frame.is_missing and began[0]:
            spent["hand_over"].append((time.thread_time() - began[0]) * 1e3)
        return refused

    def ran(one: OnnxEngine, inputs: Any) -> Any:
        start = time.thread_time()
        outputs = run(one, inputs)
        engine[0] = time.thread_time() - start
        return outputs

    def inspected(inspector: Inspector, frame: Frame) -> Inspected:
        start, engine[0] = time.thread_time(), 0.0
        found = inspect(inspector, frame)
        if engine[0]:
            spent["judgement"].append((time.thread_time() - start - engine[0]) * 1e3)
        return found

    BufferReader.received = noted  # type: ignore[method-assign]
    Mailbox.put = handed_over  # type: ignore[method-assign]
    OnnxEngine.run = ran  # type: ignore[method-assign]
    Inspector.inspect = inspected  # type: ignore[method-assign]
    return spent


def bare_engine_ms(station: Station, rounds: int = 200) -> list[float]:
    """Time the engine alone on a picture of the camera's size, scaled as on the line."""
    recipe = station._changeover.current  # noqa: SLF001
    assert recipe is not None
    graph = recipe.bundle.graph
    inputs = {
        tensor.name: np.full(tensor.shape, 100, np.dtype(tensor.dtype)) for tensor in graph.inputs
    }
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        recipe.engine.run(inputs)
        times.append((time.perf_counter() - began) * 1e3)
    return times


def percentiles(values: list[float]) -> dict[str, float]:
    names = ("p50", "p95", "p99")
    return dict(zip(names, np.percentile(values, [50, 95, 99]).round(3).tolist(), strict=True))


if __name__ == "__main__":
    main()
