"""Tests of the running product: real processes, the demo's bundle and pictures."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.config.commands import COMMANDS as ALL_COMMANDS
from edge.mqtt.topics import Topics
from tests.support.any_frame_bundle import ANY_FRAME_BUNDLE
from tests.support.brokers import MOSQUITTO, NO_MOSQUITTO, BrokerProcess, free_port, wait_until
from tests.support.commander import Commander

ROOT = Path(__file__).resolve().parents[2]
DEMO_BUNDLE = ANY_FRAME_BUNDLE
DEMO_IMAGES = ROOT / "demo" / "images"
TOPICS = Topics("edge-infer/v1", "n1", "s1")
COMMANDS = Path(sys.executable).parent
ALLOWED = [name for name in ALL_COMMANDS if name != "set_threshold"]


class Station:
    """A station file in a folder of its own, and the commands that use it."""

    def __init__(self, folder: Path, text: str = ""):
        self.folder = folder
        self.state = folder / "state"
        self.file = folder / "station.yaml"
        self.file.write_text(
            text
            or f"node: n1\nstation: s1\nbundle: {DEMO_BUNDLE}\n"
            f"camera: {{source: 'file://{DEMO_IMAGES}'}}\nmqtt: {{broker: none}}\n"
        )

    def arguments(self, *options: str) -> list[str]:
        return [
            str(COMMANDS / "edge-infer"), str(self.file), "--state-dir", str(self.state), *options,
        ]  # fmt: skip

    def run(self, *options: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.arguments(*options), capture_output=True, text=True, timeout=timeout, check=False
        )

    def start(self, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.arguments(*options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )


class Running:
    """A station `n1`/`s1` on a real broker, commanded from outside."""

    def __init__(self, folder: Path, port: int, text: str):
        self.port = port
        self.folder = folder
        self.station = Station(folder, f"node: n1\nstation: s1\n{text}")
        self.process: subprocess.Popen[str] | None = None
        self.mes: Commander | None = None

    def start(self, results: int = 6) -> Commander:
        """Start, and wait for results of this run; those before it may come again first."""
        errors = (self.folder / "log").open("a")
        self.process = subprocess.Popen(
            self.station.arguments(), stdout=subprocess.DEVNULL, stderr=errors, text=True
        )
        errors.close()
        if self.mes is None:
            wait_until(self._can_connect, 20, "the broker")
            self.mes = Commander(self.port, TOPICS)
        before = {r["boot_id"] for r in self.results}

        def new() -> int:
            return sum(result["boot_id"] not in before for result in self.results)

        wait_until(lambda: new() >= results, 60, "results")
        return self.mes

    @property
    def results(self) -> list[dict]:
        return [json.loads(m.payload) for m in self.mes.listener.of("result")]

    def more(self, count: int = 10) -> None:
        """Wait for so many further results."""
        now = len(self.mes.listener.of("result"))
        wait_until(lambda: len(self.mes.listener.of("result")) >= now + count, 60, "more results")

    def more_since(self, moment: str) -> None:
        """Wait for a result of a frame that was captured after `moment`."""
        wait_until(lambda: self.results[-1]["times"]["capture"] > moment, 60, "newer frames")

    def end(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(10)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def _can_connect(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def results(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    process = BrokerProcess("amqtt", tmp_path)
    process.start()
    yield process
    process.stop()


@pytest.fixture
def run_station(tmp_path: Path) -> Iterator:
    """Make stations from the text of their files, each on a broker of its own.

    They take every command but `set_threshold`, unless the text says which.
    """
    made: list[Running] = []
    brokers: list[BrokerProcess] = []

    def _run(text: str, kind: str = "amqtt") -> Running:
        port, mqtt = free_port(), "broker: embedded"
        if kind != "embedded":
            if kind == "mosquitto" and MOSQUITTO is None:
                pytest.skip(NO_MOSQUITTO)
            brokers.append(BrokerProcess(kind, tmp_path).start())
            port, mqtt = brokers[-1].port, f"protocol: '{brokers[-1].protocol}'"
        if "commands:" not in text:
            text = f"{text}\ncommands: {{allow: [{', '.join(ALLOWED)}]}}"
        made.append(Running(tmp_path, port, f"{text}\nmqtt: {{{mqtt}, port: {port}}}\n"))
        return made[-1]

    yield _run
    for one in made:
        if one.process is not None and one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        if one.mes is not None:
            one.mes.stop()
    for broker in brokers:
        broker.stop()
