"""Pictures of the archive on request: the right one, or why there is none."""

from __future__ import annotations

import base64
from datetime import timezone
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest

from edge.config.archive import ArchiveSettings
from edge.drop_counts import DropCounts
from edge.messages.command import Answer
from edge.messages.identity import rfc3339
from edge.messages.payload import schema
from edge.messages.state_board import StateBoard
from edge.outputs.archived_pictures import QUEUE_SIZE, ArchivedPictures, Wanted, read_wanted
from edge.outputs.picture_archive import PictureArchive
from edge.outputs.sink import Decided
from tests.support.mqtt_results import IDENTITY
from tests.support.sinks import make_decided


class Desk:
    """The sink over an archive, and what it answered."""

    def __init__(self, folder: Path):
        self.board = StateBoard(IDENTITY)
        self.answers: dict[str, Answer] = {}
        self.sink = ArchivedPictures(
            folder, IDENTITY, self.board, DropCounts(), self.answers.__setitem__
        )

    def ask(self, wanted: Wanted) -> Answer:
        self.sink.start()
        assert self.sink.send(wanted, "c-1").status == "accepted"
        assert self.sink.stop(30)
        return self.answers["c-1"]


@pytest.fixture
def part(tmp_path: Path) -> Decided:
    """A part whose annotated view is in the archive."""
    part = make_decided()
    archive = PictureArchive(ArchiveSettings(path=tmp_path), DropCounts())
    archive.start()
    archive.decided(part)
    assert archive.stop(30)
    return part


def wanted(part: Decided, **changes: str) -> Wanted:
    """The request as a consumer makes it, from what the result says."""
    return read_wanted(
        {
            "camera": part.frame.camera,
            "frame_id": str(part.frame.frame_id),
            "capture": rfc3339(part.frame.captured_at),
            "result": part.inspection.verdict.value,
            **changes,
        }
    )


def test_a_picture_is_found_by_what_its_result_says(tmp_path: Path, part: Decided) -> None:
    desk = Desk(tmp_path)
    assert desk.ask(wanted(part)).status == "done"
    post = desk.board.take()
    assert post is not None
    jsonschema.validate(post.payload, schema("picture"))
    assert (post.payload["purpose"], post.payload["cmd_id"]) == ("view", "c-1")
    data = np.frombuffer(base64.b64decode(post.payload["jpeg"]), np.uint8)
    assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape[1] == post.payload["width"]


def test_a_picture_that_is_not_there_is_said_with_its_name(tmp_path: Path, part: Decided) -> None:
    desk = Desk(tmp_path)
    answer = desk.ask(wanted(part, frame_id="8"))
    assert (answer.status, answer.code) == ("failed", "unknown_picture")
    assert "-top-000008-fail.webp" in answer.message
    assert desk.board.take() is None


def test_a_damaged_picture_is_said(tmp_path: Path, part: Decided) -> None:
    (path,) = tmp_path.glob("*.webp")
    path.write_bytes(path.read_bytes()[:40])
    answer = Desk(tmp_path).ask(wanted(part))
    assert (answer.status, answer.code) == ("failed", "unknown_picture")


def test_requests_beyond_the_queue_are_refused(tmp_path: Path, part: Decided) -> None:
    desk = Desk(tmp_path)  # not started: nothing leaves the queue
    answers = [desk.sink.send(wanted(part), f"c-{n}").status for n in range(QUEUE_SIZE)]
    assert answers[0] == "accepted"
    assert answers[-1] == "rejected"


def test_the_raw_frame_lies_in_the_folder_of_its_day(tmp_path: Path, part: Decided) -> None:
    path = Desk(tmp_path).sink.path_of(wanted(part, form="raw"))
    day = part.frame.captured_at.astimezone(timezone.utc).strftime("%Y-%m-%d")
    assert path.parent == tmp_path / day / "fail"
    assert path.suffix == ".png"
