"""Runs a station over many frames, faster than a line does, and watches its memory.

    python -m benchmarks.soak --frames 100000

A simulated camera of which two frames in a thousand are garbled, a small graph, results through the
outbox to a broker (Mosquitto where it is installed, else amqtt). Prints resident memory at every
tenth of the run and one line of JSON; exit code 1 when a result is missing or memory grows.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from edge.config.station import StationConfig
from edge.station.station import Station
from tests.support.brokers import BrokerProcess
from tests.support.bundles import make_bundle, with_two_graphs

# What a run may take between its first tenth, when everything is loaded, and its end.
MAX_GROWTH_MIB = 16
SOURCE = "test://conveyor?size=96x96&fault=corrupt:0.002"


def main() -> int:
    """Run; 1 when a part has not one result or memory grew."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--frames", type=int, default=100_000)
    frames = parser.parse_args().frames
    with tempfile.TemporaryDirectory(prefix="edge-soak-") as scratch:
        figures = soak(Path(scratch), frames)
    print(json.dumps(figures))
    is_flat = figures["grown_mib"] <= MAX_GROWTH_MIB
    is_whole = figures["results"] == frames and figures["twice"] == figures["waiting"] == 0
    return 0 if is_flat and is_whole else 1


def soak(folder: Path, frames: int) -> dict[str, Any]:
    """Run a station over `frames` parts and return its figures."""
    bundle = with_two_graphs(make_bundle(folder, "fast"))
    kind = "mosquitto" if shutil.which("mosquitto") else "amqtt"
    broker = BrokerProcess(kind, folder).start()
    resident: list[float] = []
    seen = bytearray(frames + 1)  # made before, so that what grows is the station
    counts = {"results": 0, "twice": 0}

    def take(result: dict[str, Any]) -> None:
        counts["twice"] += seen[result["seq"]]
        seen[result["seq"]] = 1
        counts["results"] += 1
        if counts["results"] % (frames // 10) == 0:
            resident.append(_resident_mib())
            print(f"{counts['results']} results, {resident[-1]:.0f} MiB", flush=True)

    values = {
        "node": "bench",
        "station": "soak",
        "bundle": bundle,
        "camera": {"name": "top", "source": f"{SOURCE}&parts={frames}"},
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
    }
    began = time.monotonic()
    station = Station(StationConfig.model_validate(values), folder / "state", on_result=take)
    station.run()
    seconds = time.monotonic() - began
    waiting = station._outbox.depth  # noqa: SLF001
    broker.stop()
    return {
        "broker": kind,
        "frames": frames,
        **counts,
        "waiting": waiting,
        "per_second": round(frames / seconds, 1),
        "resident_mib": [round(value) for value in resident],
        "grown_mib": round(resident[-1] - resident[0], 1),
    }


def _resident_mib() -> float:
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


if __name__ == "__main__":
    sys.exit(main())
