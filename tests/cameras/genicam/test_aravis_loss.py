"""`genicam://` when the camera goes away, answers no more or loses packets on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from edge.cameras.factory import make_source
from edge.config.camera import CameraSettings
from edge.drop_counts import DropCounts
from edge.errors import CameraTimeout, CameraUnavailable
from edge.station.capture.camera_state import CameraState
from edge.station.capture.capture import Capture, make_mailbox
from tests.support.genicam import opened, source_of
from tests.support.gige_camera import GigeCamera, camera_port
from tests.support.gobject import gobject_or_skip

gobject_or_skip("Aravis", "0.8")

LIMIT_S = 30


@pytest.fixture(scope="module", autouse=True)
def port() -> Iterator[None]:
    with camera_port():
        yield


def read_until_lost(source, ids=None) -> None:
    while True:
        frame = source.read()
        if ids is not None:
            ids.append(frame.frame_id)


def test_a_killed_camera_is_lost_within_two_seconds_and_comes_back() -> None:
    camera = GigeCamera("S44")
    camera.start()
    source = source_of("genicam://S44")
    source.open()
    ids = [source.read().frame_id]
    camera.kill()
    began = time.monotonic()
    with pytest.raises(CameraUnavailable, match="S44: the camera was lost"):
        read_until_lost(source, ids)
    assert time.monotonic() - began < 2
    source.close()
    with GigeCamera("S45").running(), pytest.raises(CameraUnavailable, match=r"found.* S45"):
        source.open()
    with camera.running():
        source.open()
        assert source.read().frame_id == ids[-1] + 1
        source.close()


def test_a_silent_camera_is_lost_within_two_seconds_and_opening_it_is_bounded() -> None:
    camera = GigeCamera("S46")
    camera.start()
    source = source_of("genicam://S46", 3)
    source.open()
    source.read()
    camera.freeze()
    began = time.monotonic()
    with pytest.raises(CameraUnavailable, match="lost"):
        read_until_lost(source)
    assert time.monotonic() - began < 2
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 0.5
    with pytest.raises((CameraUnavailable, CameraTimeout), match="S46: expected"):
        source.open()
    assert time.monotonic() - began < 3.5
    camera.kill()


def test_frames_with_lost_packets_are_faults_and_are_counted() -> None:
    with GigeCamera("S47", lost_per_mille=5).running(), opened("genicam://S47") as source:
        frames = [source.read() for _ in range(25)]
        counts = source.transport_counts
    faults = [frame for frame in frames if frame.fault]
    assert faults, "of 25 frames with 190 packets each none lost one"
    assert all("the frame came incomplete" in frame.fault for frame in faults)
    assert all(frame.pixels_bgr is None for frame in faults)
    assert counts["incomplete_frames"] == len(faults)
    assert counts["missing_packets"] >= len(faults)


def test_the_capture_loop_reopens_a_camera_that_came_back() -> None:
    settings = CameraSettings(
        name="top", source="genicam://S48", retry_interval_s=0.1, retry_max_s=0.2
    )
    states: list[CameraState] = []
    drops = DropCounts()
    capture = Capture(
        settings,
        make_source(settings),
        make_mailbox(settings, drops),
        drops,
        source_factory=make_source,
        on_refused=pytest.fail,
        on_change=states.append,
    )

    def until(is_so: Callable[[CameraState], bool]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not is_so(capture.state):
            assert time.monotonic() < deadline, states
            capture.check(time.monotonic_ns())
            time.sleep(0.02)

    camera = GigeCamera("S48")
    with camera.running():
        capture.open()
        capture.start()
        until(lambda state: state.frames >= 3)
    until(lambda state: not state.connected)
    with camera.running():
        until(lambda state: state.reconnects == 1 and state.fps > 0)
        capture.stop()
        assert capture.join(LIMIT_S)
    assert [state.connected for state in states] == [True, False, True]
    assert states[-1].description.serial == "S48"
    assert "top: genicam://S48: the camera was lost" in states[1].detail
