"""Every camera that every driver finds, each driver in a process of its own and bounded in time.

A search loads libraries of several vendors, any of which may hang or end the process.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from edge.cameras.search.found import FoundCamera
from edge.errors import CameraError

# name of the file in edge.cameras.search -> what it looks for
DRIVERS = {
    "v4l2": "USB and MIPI cameras (V4L2)",
    "aravis": "GigE Vision and USB3 Vision (Aravis)",
    "pylon": "Basler (pylon)",
    "gentl": "GenTL producers (harvesters)",
    "csi": "CSI cameras of a Jetson",
}
LIMIT_S = 20.0
_MOST_SHOWN = 300
Level = Literal["ok", "absent", "problem"]


@dataclass(frozen=True, slots=True)
class DriverReport:
    """What one driver found; `absent` when it is not installed, and `detail` says what to do."""

    driver: str
    purpose: str
    level: Level
    detail: str
    cameras: tuple[FoundCamera, ...] = ()


def search_all(limit_s: float = LIMIT_S) -> Iterator[DriverReport]:
    """Search with all drivers at a time; yields their reports in a fixed order."""
    reports: dict[str, DriverReport] = {}

    def search(driver: str) -> None:
        reports[driver] = _search_apart(driver, limit_s)

    threads = [threading.Thread(target=search, args=(driver,)) for driver in DRIVERS]
    for thread in threads:
        thread.start()
    for driver, thread in zip(DRIVERS, threads):
        thread.join()
        yield reports[driver]


def _search_apart(driver: str, limit_s: float) -> DriverReport:
    purpose = DRIVERS[driver]
    command = [sys.executable, "-m", "edge.diagnostics.cameras", driver]
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        detail = f"the search took longer than {limit_s:g} s and was ended"
        return DriverReport(driver, purpose, "problem", detail)
    except OSError as error:
        return DriverReport(driver, purpose, "problem", f"the search does not start: {error}")
    # Libraries print to standard output too: the answer is the last line.
    last = done.stdout.rstrip("\n").rpartition("\n")[2]
    try:
        answer = json.loads(last)
        cameras = tuple(
            FoundCamera(each["address"], each["name"], tuple(each["formats"]), each["problem"])
            for each in answer["cameras"]
        )
        level, detail = answer["level"], answer["detail"]
    except (ValueError, KeyError, TypeError):
        said = done.stderr.strip().rpartition("\n")[2][:_MOST_SHOWN] or "no word"
        detail = f"the search ended with {done.returncode}: {said}"
        return DriverReport(driver, purpose, "problem", detail)
    return DriverReport(driver, purpose, level, detail, cameras)


def _answer(driver: str) -> dict[str, object]:
    module = importlib.import_module(f"edge.cameras.search.{driver}")
    try:
        cameras: list[FoundCamera] = module.search()
    except CameraError as error:
        return {"level": "absent", "detail": str(error), "cameras": []}
    count = len(cameras)
    detail = f"{count} camera{'' if count == 1 else 's'}" if count else "no camera"
    return {"level": "ok", "detail": detail, "cameras": [asdict(each) for each in cameras]}


if __name__ == "__main__":
    print("\n" + json.dumps(_answer(sys.argv[1])), flush=True)
