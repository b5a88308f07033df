"""Tests of the running product: real processes, the demo's bundle and pictures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import BrokerProcess

ROOT = Path(__file__).resolve().parents[2]
DEMO_BUNDLE = ROOT / "demo" / "bundle"
DEMO_IMAGES = ROOT / "demo" / "images"
COMMANDS = Path(sys.executable).parent


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
