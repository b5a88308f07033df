"""Watches edge-dashboard serve a busy plant to a browser: memory, first paint, results kept.

    python -m benchmarks.dashboard --stations 4 --rate 20 --minutes 10

Clients publish results to Mosquitto, and pictures of at most two parts a second and station. A page
of the first station is open in Chromium. Prints at the start, in the middle and at the end the
resident memory of the server and of the tab, and what the tab holds once its garbage is collected;
then one line of JSON with the first paint of two pages. The exit code is 1 when the history lacks a
result.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from edge.messages.identity import Identity
from edge.messages.payload import state_payload, status_payload
from tests.dashboard.test_browser import BROWSER, part, picture_of
from tests.support.brokers import BrokerProcess, free_port, wait_until
from tests.support.dashboards import Station

PICTURE_S = 0.5


def main() -> int:
    """Run; 1 when a result is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description=__doc__)
    parser.add_argument("--stations", type=int, default=4)
    parser.add_argument("--rate", type=float, default=20, help="results a second, of all stations")
    parser.add_argument("--minutes", type=float, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-dashboard-") as scratch:
        figures = watch(Path(scratch), args.stations, args.rate, args.minutes * 60)
    print(json.dumps(figures))
    return 0 if figures["kept"] == figures["published"] else 1


def watch(folder: Path, stations: int, rate: float, seconds: float) -> dict[str, Any]:
    """Publish for `seconds` and return the figures."""
    broker = BrokerProcess("mosquitto", folder).start()
    port, file = free_port(), folder / "dashboard.yaml"
    settings = {
        "folder": "data", "mqtt": {"port": broker.port}, "listen": {"port": port}, "sign_in": False
    }  # fmt: skip
    file.write_text(json.dumps(settings))
    command = [sys.executable, "-c", "from edge.cli.dashboard import main; main()"]
    command += ["serve", "--file", str(file)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    plant = Plant(broker.port, stations, rate)
    try:
        wait_until(lambda: b"broker connected" in (folder / "log").read_bytes(), 120)
        plant.start()
        wait_until(lambda: plant.published >= stations, 60)
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            paint = {"plant": paint_ms(page, f"http://127.0.0.1:{port}/")}
            paint["station"] = paint_ms(page, f"http://127.0.0.1:{port}/station/box/s0")
            held: list[dict[str, float]] = []
            for moment in ("start", "middle", "end"):
                if held:
                    page.wait_for_timeout(1000 * seconds / 2)
                tab = {"tab_mib": max(tabs_mib(), default=0.0), **heap_of(page)}
                held.append({"server_mib": resident_mib(server.pid), **tab})
                said = ", ".join(f"{name} {value:.0f}" for name, value in held[-1].items())
                print(f"{moment}: {said}", flush=True)
            band = page.inner_text(".band .facts")
            browser.close()
        plant.stop()
        kept = lambda: count(folder / "data" / "history.db")  # noqa: E731
        deadline = time.monotonic() + 60
        while kept() < plant.published and time.monotonic() < deadline:
            time.sleep(0.5)
        return {
            "published": plant.published, "kept": kept(), "pictures": plant.pictures,
            "seconds": round(plant.took_s), "first_paint_ms": paint, "newest_shown": band,
            **{name: [round(each[name], 1) for each in held] for name in held[0]},
            "history_mib": round((folder / "data" / "history.db").stat().st_size / 2**20, 1),
        }  # fmt: skip
    finally:
        plant.stop()
        server.terminate()
        server.wait(20)
        broker.stop()


class Plant:
    """Stations that publish one after another from a thread."""

    def __init__(self, port: int, stations: int, rate: float):
        self._stations = [Station(port, Identity("box", f"s{n}", "b")) for n in range(stations)]
        self._pause_s = 1 / rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.published = self.pictures = 0
        self.took_s = 0.0

    def start(self) -> None:
        for each in self._stations:
            name = each.identity.station
            each.publish("status", status_payload(each.identity, "online", "1"), retain=True)
            state = state_payload(each.identity, "operational", threshold=0.61)
            each.publish(f"{name}/state", state, retain=True)
        self._thread.start()

    def stop(self) -> None:
        if not self._stop.is_set():
            self._stop.set()
            self._thread.join(30)
            for each in self._stations:
                each.stop()

    def _run(self) -> None:
        begin = due = time.monotonic()
        pictured = [0.0] * len(self._stations)
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._pause_s, time.monotonic() - 1)
            number = self.published % len(self._stations)
            seq, name = 1 + self.published // len(self._stations), f"s{number}"
            payload = part(
                seq, "fail" if seq % 20 == 0 else "pass", datetime.now(timezone.utc), station=name,
                msg_id=f"{name}-{seq}",
            )  # fmt: skip
            if time.monotonic() - pictured[number] >= PICTURE_S:
                pictured[number] = time.monotonic()
                picture = {**picture_of(payload), "station": name}
                self._stations[number].publish(f"{name}/picture", picture)
                self.pictures += 1
            self._stations[number].publish(f"{name}/result", payload)
            self.published += 1
            self.took_s = time.monotonic() - begin


def paint_ms(page: Page, address: str) -> float:
    """Open a page and return when its content was first painted, in ms."""
    page.goto(address)
    entry = "performance.getEntriesByName('first-contentful-paint')[0]"
    page.wait_for_function(entry)
    return round(float(page.evaluate(f"{entry}.startTime")), 1)


def heap_of(page: Page) -> dict[str, float]:
    """Return what a page holds once its garbage is collected: MiB of objects, nodes, listeners."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("HeapProfiler.collectGarbage")
    found = {
        each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]
    }
    session.detach()
    return {
        "heap_mib": found["JSHeapUsedSize"] / 2**20, "nodes": found["Nodes"],
        "listeners": found["JSEventListeners"],
    }  # fmt: skip


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def tabs_mib() -> Iterator[float]:
    """Yield the resident memory of each renderer among our descendants."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,rss=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 3) for line in listed.stdout.splitlines()]
    ours = {os.getpid()}
    for pid, parent, resident_kib, args in sorted(rows, key=lambda row: int(row[0])):
        if int(parent) in ours:
            ours.add(int(pid))
            if "--type=renderer" in args:
                yield int(resident_kib) / 1024


def count(path: Path) -> int:
    """Return how many results the history has."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    (found,) = db.execute("SELECT COUNT(*) FROM results").fetchone()
    db.close()
    return int(found)


if __name__ == "__main__":
    if BROWSER is None or shutil.which("mosquitto") is None:
        sys.exit("expected chromium and mosquitto; install them")
    sys.exit(main())
