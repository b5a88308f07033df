"""The state of a camera, and which of its changes are reported."""

from __future__ import annotations

import threading

import pytest

from edge.station.capture.camera_state import CameraMonitor, CameraState

SECOND_NS = 10**9


@pytest.fixture
def changes() -> list[CameraState]:
    return []


@pytest.fixture
def monitor(changes: list[CameraState]) -> CameraMonitor:
    return CameraMonitor("top", changes.append)


def always() -> bool:
    return True


def never() -> bool:
    return False


def test_frames_are_counted_and_give_the_rate(monitor: CameraMonitor) -> None:
    for number in range(31):
        monitor.frame(7 * SECOND_NS + number * SECOND_NS // 50)
    last_ns = 7 * SECOND_NS + 30 * SECOND_NS // 50
    state = monitor.state_at(last_ns)
    assert (state.frames, state.last_frame_ns) == (31, last_ns)
    assert state.fps == pytest.approx(50)


def test_the_rate_is_that_of_the_last_five_seconds(monitor: CameraMonitor) -> None:
    for at_s in (0, 1, 2, 3, 3.5, 4):
        monitor.frame(int(at_s * SECOND_NS))
    assert monitor.state_at(4 * SECOND_NS).fps == pytest.approx(5 / 4)
    assert monitor.state_at(8 * SECOND_NS).fps == pytest.approx(2)
    assert monitor.state_at(9 * SECOND_NS).fps == 0, "one frame makes no rate"
    assert monitor.state_at(20 * SECOND_NS).fps == 0


def test_a_loss_is_reported_once_until_the_camera_is_back(
    monitor: CameraMonitor, changes: list[CameraState]
) -> None:
    monitor.connected(unless=never)
    monitor.lost("gone")
    monitor.lost("still gone")
    assert monitor.state.detail == "still gone"
    monitor.connected(unless=never)
    assert [(c.connected, c.detail, c.reconnects) for c in changes] == [
        (True, "", 0),
        (False, "gone", 0),
        (True, "", 1),
    ]


def test_a_forgotten_loss_is_news_again(monitor: CameraMonitor, changes: list[CameraState]) -> None:
    assert not monitor.forget_loss(), "nothing is lost before the first connection"
    monitor.lost("no such device")
    assert monitor.forget_loss()
    assert not monitor.forget_loss()
    monitor.lost("no such device")
    assert [c.detail for c in changes] == ["no such device", "", "no such device"]
    assert changes[-1].reconnects == 0


def test_a_connection_of_a_reader_that_was_given_up_is_void(
    monitor: CameraMonitor, changes: list[CameraState]
) -> None:
    monitor.connected(unless=always)
    assert (monitor.state.connected, changes) == (False, [])


def test_the_end_is_no_loss(monitor: CameraMonitor, changes: list[CameraState]) -> None:
    monitor.connected(unless=never)
    monitor.ended()
    assert (changes[-1].connected, changes[-1].ended, changes[-1].detail) == (False, True, "")


def test_the_last_report_has_the_newest_state() -> None:
    """One thread is held up while it reports a loss; another one reports the return."""
    reports: list[bool] = []
    is_reporting, may_go_on = threading.Event(), threading.Event()

    def hear(state: CameraState) -> None:
        if not is_reporting.is_set():
            is_reporting.set()
            assert may_go_on.wait(20)
        reports.append(state.connected)

    monitor = CameraMonitor("top", hear)
    first = threading.Thread(target=lambda: monitor.lost("gone"), daemon=True)
    first.start()
    assert is_reporting.wait(20)
    second = threading.Thread(target=lambda: monitor.connected(unless=never), daemon=True)
    second.start()
    second.join(0.2)  # time enough to overtake, if it could
    may_go_on.set()
    for thread in (first, second):
        thread.join(20)
    assert reports == [False, True]
