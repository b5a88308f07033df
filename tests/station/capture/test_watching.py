from __future__ import annotations

import threading
from contextlib import closing

import pytest

from edge.config.camera import CameraSettings
from edge.errors import CameraError, CameraTimeout
from edge.station.capture.watching import watch_camera


def settings(address, **more):
    return CameraSettings(name="top", source=address, **more)


def threads():
    return {thread.name for thread in threading.enumerate()}


def test_every_frame_of_a_finite_source_comes():
    with closing(watch_camera(settings("test://conveyor?parts=30&size=64x48"))) as frames:
        assert [frame.frame_id for frame in frames] == list(range(30))


def test_of_a_live_camera_the_first_frames_are_left_out_and_the_camera_is_closed():
    with closing(watch_camera(settings("test://conveyor?fps=200&size=64x48"))) as frames:
        assert next(frames).frame_id >= 10
        assert "camera-top" in threads()
    assert "camera-top" not in threads()


def test_a_lost_camera_is_opened_again():
    address = "test://conveyor?fps=100&size=64x48&fault=lost:20:0.3"
    config = settings(address, retry_interval_s=0.05)
    with closing(watch_camera(config)) as frames:
        assert any(frame.frame_id > 30 for frame in frames)


def test_an_absent_camera_is_an_error_at_once():
    with (
        pytest.raises(CameraError, match="/dev/nowhere"),
        closing(watch_camera(settings("v4l2:///dev/nowhere"))) as frames,
    ):
        next(frames)


def test_a_camera_that_stays_away_ends_it():
    address = "test://conveyor?fps=50&size=64x48&fault=lost:15:60"
    config = settings(address, stall_timeout_s=0.1, retry_interval_s=0.05, retry_max_s=0.1)
    with (
        closing(watch_camera(config)) as frames,
        pytest.raises(
            CameraTimeout, match=r"no frame for 0\.6 s: top: test://conveyor: simulated loss"
        ),
    ):
        list(frames)
