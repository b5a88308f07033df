"""A raw archive as a camera: order, identity, timing, damage."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from edge.archive.layout import frames_between
from edge.cameras.factory import is_live, make_source
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable, ConfigError
from edge.frame import Frame
from tests.support.archives import BEGAN, part, write_archive


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Five parts in three days, one second apart but for the days."""
    day = timedelta(days=1)
    write_archive(
        tmp_path,
        [
            part(0, "pass", label="good"),
            part(1, "fail", label="scratch", is_simulated=True),
            part(2, "undecided", at=BEGAN + day),
            part(3, "fail", at=BEGAN + 2 * day, part_id=None),
            part(4, "error", at=BEGAN + 2 * day + timedelta(milliseconds=250)),
        ],
    )
    return tmp_path


def settings(archive: Path, query: str = "") -> CameraSettings:
    return CameraSettings(name="again", source=f"replay://{archive}{query}")


def replayed(archive: Path, query: str = "") -> list[Frame]:
    source = make_source(settings(archive, query))
    source.open()
    frames = []
    while (frame := source.read()) is not None:
        frames.append(frame)
    source.close()
    return frames


def test_frames_come_back_with_part_truth_and_what_was_said(archive: Path) -> None:
    frames = replayed(archive)
    assert [f.earlier.verdict for f in frames] == ["pass", "fail", "undecided", "fail", "error"]
    assert [f.part.id if f.part else None for f in frames] == ["p-0", "p-1", "p-2", None, "p-4"]
    assert [f.part.label for f in frames[:2]] == ["good", "scratch"]
    assert [f.is_simulated for f in frames] == [False, True, False, False, False]
    assert [f.frame_id for f in frames] == [0, 1, 2, 3, 4]
    assert frames[0].earlier.captured_at == BEGAN
    assert (frames[1].earlier.score, frames[1].earlier.recipe) == (0.83, "housing-42-top 14")
    for number, frame in enumerate(frames):
        assert np.array_equal(frame.pixels_bgr, part(number).frame.pixels_bgr)
        assert frame.camera == "again"
    assert not is_live(settings(archive))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?verdict=fail", [1, 3]),
        ("?verdict=pass,undecided", [0, 2]),
        ("?since=2026-11-22", [2, 3, 4]),
        ("?until=2026-11-22", [0, 1]),
        ("?since=2026-11-21T10:15:03&until=2026-11-23T10:15:02.2", [1, 2, 3]),
        ("?since=2026-11-22&verdict=error", [4]),
    ],
)
def test_frames_are_chosen_by_time_and_verdict(archive: Path, query: str, expected: list) -> None:
    frames = replayed(archive, query)
    assert [int(f.earlier.name.split("-")[2]) for f in frames] == expected


def test_damage_is_a_fault_of_its_frame_alone(archive: Path) -> None:
    first, second, third, *_ = frames_between(archive)
    first.with_name(first.name + ".json").write_text("{")
    second.with_name(second.name + ".png").unlink()
    third.with_name(third.name + ".json").unlink()
    frames = replayed(archive)
    assert [f.fault is None for f in frames] == [False, False, False, True, True]
    assert "its record is damaged" in frames[0].fault
    assert "No such file" in frames[1].fault
    assert [f.earlier.verdict for f in frames[:3]] == ["pass", "fail", "undecided"]
    assert frames[1].part.id == "p-1"


def test_original_timing_keeps_gaps_up_to_a_limit(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []
    monkeypatch.setattr("edge.cameras.pace.Pace.wait", lambda _self, s: waits.append(s) or True)
    replayed(archive, "?timing=original&max_gap_s=0.5")
    assert waits == pytest.approx([0, 0.5, 0.5, 0.5, 0.25])
    waits.clear()
    replayed(archive, "?timing=original")
    assert waits == pytest.approx([0, 1, 10, 10, 0.25])
    waits.clear()
    replayed(archive, "?timing=fast")
    assert waits == [0, 0, 0, 0, 0]


def test_original_timing_really_waits_and_can_be_broken_off(archive: Path) -> None:
    source = make_source(settings(archive, "?timing=original&max_gap_s=60"))
    source.open()
    assert source.read() is not None
    began = time.monotonic()
    assert source.read() is not None
    assert time.monotonic() - began >= 0.9
    threading.Timer(0.1, source.close).start()
    with pytest.raises(CameraUnavailable, match="closed"):
        source.read()
    source.open()
    assert source.read().earlier.verdict == "undecided", "a reopened source goes on where it was"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?speed=2", "unknown key speed"),
        ("?timing=slow", "timing: expected original or fast, got slow"),
        ("?max_gap_s=5", "max_gap_s: expected together with timing=original"),
        ("?since=yesterday", "since: expected a day such as 2026-05-01"),
        ("?since=2026-05-02&until=2026-05-01", "since: expected a moment before until"),
        ("?verdict=good", "verdict: expected some of pass, fail, undecided, error, got good"),
    ],
)
def test_a_wrong_address_is_one_line(archive: Path, query: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_source(settings(archive, query))


def test_an_archive_without_such_frames_is_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(
        CameraUnavailable, match="found others only; check since, until and verdict"
    ):
        replayed(archive, "?since=2027-01-01")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CameraUnavailable, match="found none"):
        replayed(tmp_path / "empty")
    with pytest.raises(CameraUnavailable, match="No such file or directory"):
        replayed(tmp_path / "absent")


def test_a_path_is_taken_from_the_station_file(tmp_path: Path) -> None:
    made = CameraSettings.model_validate({"source": "replay://kept"}, context={"folder": tmp_path})
    assert made.source == f"replay://{tmp_path}/kept"
    with pytest.raises(ConfigError, match="expected the path of an archive"):
        make_source(CameraSettings(source="replay://"))
