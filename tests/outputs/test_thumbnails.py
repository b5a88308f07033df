"""Small pictures of parts: of which, how large, and how often."""

from __future__ import annotations

import base64

import cv2
import jsonschema
import numpy as np
import pytest

from edge.config.mqtt import PictureSettings
from edge.drop_counts import DropCounts
from edge.messages.payload import schema
from edge.messages.state_board import StateBoard
from edge.outputs import thumbnails
from edge.outputs.sink import Decided
from edge.outputs.thumbnails import Thumbnails, shrunk
from edge.result import Reason, Verdict
from tests.support.mqtt_results import IDENTITY
from tests.support.sinks import make_decided


def passing(part_id: str = "p-1") -> Decided:
    reason = Reason.SCORE_BELOW_THRESHOLD
    return make_decided(part_id, verdict=Verdict.PASS, reason=reason, regions=())


def shown(parts: list[Decided], **settings) -> list[dict]:
    """Give parts to the sink and return the pictures that it publishes."""
    board = StateBoard(IDENTITY)
    sink = Thumbnails(PictureSettings(**settings), IDENTITY, board, DropCounts())
    sink.start()
    for part in parts:
        sink.decided(part)
    assert sink.stop(30)
    posts = []
    while post := board.take():
        assert post.kind == "picture"
        posts.append(post.payload)
    return posts


def pixels(text: str) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR)


def test_a_picture_is_small_and_says_which_result_it_belongs_to() -> None:
    part = make_decided("p-7")
    (picture,) = shown([part], longest_side_px=64)
    jsonschema.validate(picture, schema("picture"))
    frame = part.frame
    assert (picture["camera"], picture["frame_id"]) == (frame.camera, frame.frame_id)
    assert picture["capture"].startswith(frame.captured_at.strftime("%Y-%m-%dT%H:%M:%S."))
    assert (picture["width"], picture["height"], picture["result"]) == (64, 48, "fail")
    assert pixels(picture["jpeg"]).shape == (48, 64, 3)
    assert abs(int(pixels(picture["jpeg"])[20, 20, 0]) - 90) < 5
    assert pixels(picture["heat"]).shape == (48, 64, 3)


def test_passes_and_others_are_limited_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.arange(0, 10, 0.1))
    monkeypatch.setattr(thumbnails, "monotonic", lambda: float(next(clock)))
    parts = [passing(), passing(), make_decided("bad"), *[passing() for _ in range(10)]]
    found = [picture["result"] for picture in shown(parts, max_per_s=2)]
    # At 0.0, 0.5 and 1.0 s a pass; the reject at 0.2 s is not kept off by the pass before it.
    assert found == ["pass", "fail", "pass", "pass"]


def test_the_settings_choose_the_parts() -> None:
    assert shown([passing()], thumbnails="rejects") == []
    assert len(shown([make_decided()], thumbnails="rejects")) == 1
    refused = make_decided(verdict=Verdict.UNDECIDED, reason=Reason.OVERRUN, regions=())
    assert shown([refused]) == [], "a line that is too slow shall not draw"


def test_shrinking_keeps_the_aspect_and_never_enlarges() -> None:
    assert shrunk(np.zeros((1000, 500, 3), np.uint8), 320).shape == (320, 160, 3)
    assert shrunk(np.zeros((1, 5000, 3), np.uint8), 320).shape == (1, 320, 3)
    assert shrunk(np.zeros((20, 10, 3), np.uint8), 320).shape == (20, 10, 3)
