"""Damaged records and pictures are told in one line; whole ones give the frame back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.archive.layout import frames_between
from edge.archive.record import ArchivedFrame, read_frame
from tests.support.archives import part, write_archive


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    write_archive(tmp_path, [part(7, label="scratch")])
    (path,) = frames_between(tmp_path)
    return path


def beside(frame: Path, suffix: str) -> Path:
    return frame.with_name(frame.name + suffix)


def test_a_whole_record(frame: Path) -> None:
    found = read_frame(frame)
    assert isinstance(found, ArchivedFrame)
    assert (found.verdict.value, found.score, found.defect_type) == ("fail", 0.83, "scratch")
    assert (found.part.id, found.part.label) == ("p-7", "scratch")
    assert found.recipe == "housing-42-top 14"
    assert found.captured_at.isoformat() == "2026-11-21T10:15:09.121900+00:00"
    assert not found.is_simulated


def edited(**changes):
    return lambda text: json.dumps({**json.loads(text), **changes})


def result(**changes):
    return lambda text: json.dumps(
        {**json.loads(text), "result": {**json.loads(text)["result"], **changes}}
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[" * 100_000,
        lambda text: "null",
        lambda text: text.replace("edge-infer.raw_frame/1", "edge-infer.raw_frame/9"),
        edited(captured_at="yesterday"),
        edited(captured_at="2026-11-21T10:15:09"),
        edited(result=None),
        result(result="maybe"),
        result(result="pass"),
        result(score="high"),
        result(part={"id": 7, "id_source": "x"}),
        result(part={"id": "x" * 2000, "id_source": "x"}),
        edited(picture={"file": "../../other.png", "sha256": "0" * 64}),
        edited(picture={"file": "x.png"}),
    ],
)
def test_a_damaged_record_is_one_line(frame: Path, damage) -> None:
    record = beside(frame, ".json")
    record.write_text(damage(record.read_text()))
    with pytest.raises(ValueError, match=r"its record is (damaged|that of another)") as caught:
        read_frame(frame)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_missing_record_and_a_pipe_in_its_place(frame: Path, tmp_path: Path) -> None:
    beside(frame, ".json").unlink()
    with pytest.raises(ValueError, match="its record: cannot be read: No such file"):
        read_frame(frame)
    beside(frame, ".json").mkdir()
    with pytest.raises(ValueError, match="its record: not a regular file"):
        read_frame(frame)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: b"", lambda data: data + b"x"]
)
def test_a_damaged_picture_is_one_line(frame: Path, damage) -> None:
    picture = beside(frame, ".png")
    picture.write_bytes(damage(picture.read_bytes()))
    with pytest.raises(ValueError, match="not the one that was archived"):
        read_frame(frame).pixels_bgr()


def test_a_missing_picture_is_one_line(frame: Path) -> None:
    beside(frame, ".png").unlink()
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_frame(frame).pixels_bgr()
