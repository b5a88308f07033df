"""Counts results per trigger on a real station: exactly one each is what must come out.

    python -m benchmarks.one_per_part --triggers 10000

Three stations run one after the other with a fast bundle and a simulated camera that loses frames:
`software` (bursts over HTTP, more than the queue takes), `hardware` (each frame is a trigger, gaps
in the camera's numbers are triggers without a frame) and `interval` (a camera that runs freely).
Each is stopped with triggers open, the first one also stopped, aborted and started on the way.
Prints one line of JSON per station; exit code 1 when any trigger has not exactly one result.
With `--presence [PARTS]` parts are found on a belt instead, see one_per_part_presence.py.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import one_per_part_presence
from edge.config.station import StationConfig
from edge.station.station import Station
from tests.support.bundles import make_bundle, with_two_graphs

DEADLINE_MS = 100
QUEUE = 4


class Line:
    """A station in a thread of its own, and all its results."""

    def __init__(self, folder: Path, bundle: Path, source: str, trigger: dict[str, Any]):
        values = {
            "node": "bench",
            "station": "bench",
            "bundle": bundle,
            "camera": {"name": "top", "source": source},
            "trigger": {"deadline_ms": DEADLINE_MS, "queue": QUEUE, **trigger},
            "mqtt": {"broker": "none"},
        }
        self.results: list[dict[str, Any]] = []
        config = StationConfig.model_validate(values)
        self.station = Station(config, folder, on_result=self.results.append)
        self._thread = threading.Thread(target=self.station.run)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.station.request_stop()
        self.join()

    def join(self) -> None:
        self._thread.join()

    def figures(self) -> dict[str, Any]:
        triggers = self.station._triggers  # noqa: SLF001
        assert triggers is not None
        drops = {f"{where}.{why}": n for (where, why), n in self.station.drops.snapshot().items()}
        reasons = Counter(result["reason"] for result in self.results)
        return {**triggers.counts, "results": len(self.results), "reasons": reasons, "drops": drops}


def software(folder: Path, bundle: Path, count: int) -> tuple[dict[str, Any], bool]:
    """Post bursts of 1 to 8 triggers until `count` were taken, and interfere with jobs."""
    port = _free_port()
    source = "test://conveyor?size=96x96&fault=drop:0.02,corrupt:0.01"
    trigger = {"by": "software", "http_port": port, "frame_timeout_ms": 20}
    line = Line(folder, bundle, source, trigger)
    line.start()
    _await_port(port)
    answers: dict[str, int] = {}
    chance = random.Random(1)
    jobs = line.station._jobs  # noqa: SLF001

    def post(number: int) -> None:
        answers[f"t{number}"] = _post(port, {"trigger_id": f"t{number}", "part_id": f"p{number}"})

    with ThreadPoolExecutor(8) as pool:
        sent = 0
        while list(answers.values()).count(202) < count:
            size = chance.randint(1, 8)
            burst = [pool.submit(post, number) for number in range(sent, sent + size)]
            sent += size
            if chance.random() < 0.005:
                chance.choice([jobs.stop, lambda: jobs.abort("benchmark")])()
                jobs.start_continuous(f"job-{sent}")
            for each in burst:
                each.result()
            time.sleep(chance.choice([0, 0, 0.002]))
    line.stop()
    per_id = Counter(result["trigger"]["id"] for result in line.results)
    taken = {name for name, status in answers.items() if status == 202}
    named = all(
        result["part"]["id"] == "p" + result["trigger"]["id"][1:] for result in line.results
    )
    is_right = set(per_id) == taken and set(per_id.values()) <= {1} and named
    statuses = Counter(answers.values())
    return {"station": "software", "http": statuses, **line.figures()}, is_right


def hardware(folder: Path, bundle: Path, count: int) -> tuple[dict[str, Any], bool]:
    """Let parts pass a camera that is triggered by its input and loses frames."""
    source = f"test://conveyor?size=96x96&parts={count}&fault=drop:0.02,corrupt:0.01&fps=2000"
    line = Line(folder, bundle, source, {"by": "hardware", "queue": 64})
    line.start()
    line.join()
    figures = line.figures()
    per_id = Counter(result["trigger"]["id"] for result in line.results)
    # Gaps show by the next frame: of parts lost before the first or after the last nobody knows.
    ids = {result["views"][0]["frame_id"] for result in line.results}
    between = max(ids) - min(ids) + 1
    is_right = set(per_id.values()) == {1} and len(line.results) == figures["taken"] == between
    return {"station": "hardware", "parts": count, "between": between, **figures}, is_right


def interval(folder: Path, bundle: Path, count: int) -> tuple[dict[str, Any], bool]:
    """Take the first frame after each tick of a clock from a camera that runs freely."""
    source = "test://conveyor?size=96x96&fault=drop:0.02,corrupt:0.01&fps=500"
    line = Line(folder, bundle, source, {"by": "interval", "period_s": 0.004})
    line.start()
    while len(line.results) < count:
        time.sleep(0.01)
    line.stop()
    figures = line.figures()
    per_id = Counter(result["trigger"]["id"] for result in line.results)
    is_right = set(per_id.values()) == {1} and len(line.results) == figures["taken"]
    return {"station": "interval", **figures}, is_right


STATIONS: dict[str, tuple[float, Callable[..., tuple[dict[str, Any], bool]]]] = {
    "software": (0.6, software),
    "hardware": (0.3, hardware),
    "interval": (0.1, interval),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--triggers", type=int, default=10_000)
    parser.add_argument("--only", choices=STATIONS)
    parser.add_argument("--presence", type=int, nargs="?", const=10_000, metavar="PARTS")
    options = parser.parse_args()
    is_right = True
    with tempfile.TemporaryDirectory() as scratch:
        bundle = with_two_graphs(make_bundle(Path(scratch), "fast"))
        if options.presence is not None:
            for name, speed in one_per_part_presence.SPEEDS.items():
                folder = Path(scratch) / name
                figures, passed = one_per_part_presence.belt(
                    folder, bundle, speed, options.presence
                )
                print(json.dumps({"belt": name, **figures, "one_per_part": passed}), flush=True)
                is_right &= passed
            sys.exit(0 if is_right else 1)
        for name, (share, run) in STATIONS.items():
            if options.only in (None, name):
                count = round(options.triggers * (1 if options.only else share))
                began = time.perf_counter()
                figures, passed = run(Path(scratch) / name, bundle, count)
                figures |= {"seconds": round(time.perf_counter() - began, 1)}
                print(json.dumps({**figures, "one_per_trigger": passed}), flush=True)
                is_right &= passed
    sys.exit(0 if is_right else 1)


def _post(port: int, body: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/trigger", json.dumps(body))
        return connection.getresponse().status
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_port(port: int) -> None:
    for _ in range(1000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise SystemExit("the station did not open its port")


if __name__ == "__main__":
    main()
