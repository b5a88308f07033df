"""A small valid station file, and what the reader says about changed ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config.station import read_station
from edge.errors import ConfigError

GOOD = """
node: box1
station: top
bundle: bundles/pcb
camera: {source: "file://parts"}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "station.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_station(write(folder, text))
    prefix = f"{folder / 'station.yaml'}:"
    assert all(problem.startswith(prefix) for problem in caught.value.problems)
    return [problem.removeprefix(prefix) for problem in caught.value.problems]
