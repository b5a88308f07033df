"""A running station touches its file, and the container's check reads it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.system.conftest import ROOT, Station


def health_command(dockerfile: str, run: Path) -> list[str]:
    """What the container runs, looking into `run`."""
    text = (ROOT / dockerfile).read_text()
    found = re.search(r"^HEALTHCHECK (?:.*\\\n)*\s*CMD (\[.+\])$", text, re.MULTILINE)
    assert found, dockerfile
    words = json.loads(found[1])
    assert any("/run/edge-infer" in word for word in words)
    return [word.replace("/run/edge-infer", str(run)) for word in words]


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "Dockerfile.jetson"])
def test_the_health_check_follows_the_station(
    station: Station, monkeypatch: pytest.MonkeyPatch, dockerfile: str
) -> None:
    run = station.folder / "run"
    command = health_command(dockerfile, run)

    def is_healthy() -> bool:
        return subprocess.run(command, check=False).returncode == 0

    run.mkdir()
    assert not is_healthy(), "before the start"
    monkeypatch.setenv("EDGE_RUN_DIR", str(run))
    process = station.start("--camera", "test://conveyor?size=160x120", "--max-frames", "200")
    try:
        until = time.monotonic() + 30
        while not is_healthy() and time.monotonic() < until:
            time.sleep(0.05)
        assert is_healthy()
    finally:
        process.terminate()
        process.communicate(timeout=20)
    (heartbeat,) = run.iterdir()
    long_ago = time.time() - 300
    os.utime(heartbeat, (long_ago, long_ago))
    assert not is_healthy(), "the inspector hangs"
