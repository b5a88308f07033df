"""The file by which a container or service manager sees that the inspector runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.station import heartbeat
from edge.station.heartbeat import Heartbeat


def age(folder: Path, seconds: float) -> Path:
    path = folder / "box.top.pulse"
    long_ago = path.stat().st_mtime - seconds
    os.utime(path, (long_ago, long_ago))
    return path


def test_it_touches_its_file_at_most_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: now)
    beating = Heartbeat(tmp_path / "run", "box", "top")
    beating.beat()
    path = age(tmp_path / "run", 60)
    old = path.stat().st_mtime
    now = 100.9
    beating.beat()
    assert path.stat().st_mtime == old
    now = 101.1
    beating.beat()
    assert path.stat().st_mtime > old + 50


def test_no_folder_and_a_folder_that_cannot_be_made_stop_nothing(tmp_path: Path) -> None:
    Heartbeat(None, "box", "top").beat()
    (tmp_path / "file").write_text("")
    Heartbeat(tmp_path / "file" / "run", "box", "top").beat()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
