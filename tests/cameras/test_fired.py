"""Pictures that wait, one per software trigger."""

from __future__ import annotations

import threading
import time

import pytest

from edge.cameras.factory import make_source
from edge.cameras.fired import FiredSource
from edge.cameras.source import TriggeredSource
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable


def belt(query: str = "") -> FiredSource:
    return FiredSource(make_source(CameraSettings(source=f"test://conveyor?size=32x32{query}")))


def test_only_cameras_that_fire_are_triggered_sources() -> None:
    plain = make_source(CameraSettings(source="test://conveyor"))
    assert not isinstance(plain, TriggeredSource)
    assert isinstance(FiredSource(plain), TriggeredSource)


def test_each_firing_gives_the_next_picture_of_its_moment() -> None:
    source = belt("&parts=3")
    source.open()
    frames = []
    for _ in range(3):
        before = time.monotonic_ns()
        source.fire()
        after = time.monotonic_ns()
        frame = source.read()
        assert before <= frame.captured_ns <= after
        frames.append(frame)
    assert [frame.frame_id for frame in frames] == [0, 1, 2]
    assert source.read() is None


def test_no_picture_comes_unasked() -> None:
    source = belt()
    source.open()
    outcome = []

    def read() -> None:
        try:
            outcome.append(source.read())
        except CameraUnavailable as error:
            outcome.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    reader.join(0.05)
    assert outcome == []
    source.close()
    reader.join(20)
    assert isinstance(outcome[0], CameraUnavailable)


def test_a_lost_picture_is_a_firing_without_a_frame() -> None:
    source = belt("&parts=200&fault=drop:0.2")
    source.open()
    for _ in range(200):
        source.fire()
    ids = []
    while (frame := source.read()) is not None:
        ids.append(frame.frame_id)
    assert 100 < len(ids) < 190
    # Every firing was used up by its own part: none is left for a later one.
    assert len(source._fired) <= 199 - ids[-1] + ids[0]


def test_a_closed_camera_is_not_fired() -> None:
    source = belt()
    with pytest.raises(CameraUnavailable, match="not open"):
        source.fire()
    source.open()
    source.fire()
    source.close()
    with pytest.raises(CameraUnavailable):
        source.fire()
    source.open()
    source.fire()
    assert source.read().frame_id == 0
    assert len(source._fired) == 0
