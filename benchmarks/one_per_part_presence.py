"""Counts results per part on a real station whose camera runs freely over a belt.

    python -m benchmarks.one_per_part --presence 10000

Three belts run one after the other: slow, usual and fast (3, 6 and 12 % of the view per frame),
with parts that touch, jitter in the capture times, stops, reverses and drifting light. The
simulator's truth says which part each result's frame shows. Prints one line of JSON per belt.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

from edge.cameras.factory import make_source
from edge.cameras.simulator.belt import BeltSource
from edge.config.station import StationConfig
from edge.station.station import Station

SPEEDS = {"slow": 5, "usual": 10, "fast": 19}
BELT = "size=160x120&defect_rate=0&touching=0.2&jitter=0.5&stop=50:20&reverse=70:15&light=0.2"


def belt(folder: Path, bundle: Path, speed: int, parts: int) -> tuple[dict[str, Any], bool]:
    """Run a station over `parts` parts at `speed` pixels per frame of 160."""
    source = f"test://belt?{BELT}&speed={speed}&parts={parts}"
    values = {
        "node": "bench",
        "station": "bench",
        "bundle": bundle,
        "camera": {"name": "top", "source": source},
        "part": {"by": "presence"},
        "mqtt": {"broker": "none"},
    }
    results: list[dict[str, Any]] = []
    config = StationConfig.model_validate(values)
    station = Station(config, folder, on_result=results.append)
    began = time.monotonic()
    station.run()
    seconds = time.monotonic() - began
    truth = shown(config)
    per_part = Counter(truth.get(result["views"][0]["frame_id"]) for result in results)
    figures = {
        "speed_px": speed,
        "parts": parts,
        "results": len(results),
        "missed": sum(1 for part in range(parts) if not per_part[part]),
        "twice": sum(1 for part in range(parts) if per_part[part] > 1),
        "of_no_part": per_part[None],
        "without_a_whole_picture": sum(result["result"] == "error" for result in results),
        "frames": len(truth),
        "seconds": round(seconds, 1),
    }
    is_right = per_part == dict.fromkeys(range(parts), 1)
    return figures, is_right


def shown(config: StationConfig) -> dict[int, int | None]:
    """Return frame id -> part that is nearest to the middle of the view, by the simulator."""
    source = make_source(config.camera)
    assert isinstance(source, BeltSource)
    run, truth = source.run, dict[int, int | None]()
    while not run.is_over:
        run.step()
        truth[len(truth)] = run.in_the_middle()
    return truth
