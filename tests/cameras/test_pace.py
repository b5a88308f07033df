"""When the next frame is due, on a clock that moves only by waiting."""

from __future__ import annotations

import threading

import pytest

from edge.cameras.pace import Pace, Playback
from tests.support.waiting import FakeEvent, FakeTime


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    clock = FakeTime()
    monkeypatch.setattr("edge.cameras.pace.time", clock)
    return clock


@pytest.fixture
def pace(clock: FakeTime) -> Pace:
    pace = Pace()
    pace._stop = FakeEvent(clock)  # type: ignore[assignment]
    return pace


def test_the_first_frame_is_due_at_once_and_the_others_a_period_apart(
    pace: Pace, clock: FakeTime
) -> None:
    assert all(pace.wait(0.5) for _ in range(3))
    assert clock.waits == [0.5, 0.5]


def test_the_time_that_a_frame_takes_is_not_waited_again(pace: Pace, clock: FakeTime) -> None:
    pace.wait(0.5)
    clock.now_s += 0.375
    pace.wait(0.5)
    assert clock.waits == [0.125]


def test_a_late_reader_gets_its_frame_at_once_and_no_burst(pace: Pace, clock: FakeTime) -> None:
    pace.wait(0.5)
    clock.now_s += 3
    pace.wait(0.5)
    assert clock.waits == []
    pace.wait(0.5)
    assert clock.waits == [0.5]


def test_a_stop_refuses_waits_until_the_restart(pace: Pace, clock: FakeTime) -> None:
    assert pace.wait(0.5)
    pace.stop()
    assert pace.is_stopped
    assert not pace.wait(0.5)
    assert clock.waits == []
    pace.restart()
    assert pace.wait(0.5)
    assert clock.waits == [], "the first frame after a restart is due at once"


def test_a_stop_ends_a_wait_under_way() -> None:
    pace = Pace()
    pace.wait(3600)
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(pace.wait(3600)), daemon=True)
    thread.start()
    pace.stop()
    thread.join(30)
    assert answers == [False]


@pytest.mark.parametrize(
    ("playback", "period_s"),
    [
        (Playback(), 0.0),
        (Playback(fps=20), 0.05),
        (Playback(original=True), 0.3),
    ],
)
def test_the_period_follows_from_the_playback(playback: Playback, period_s: float) -> None:
    assert playback.period_s(0.3) == period_s


def test_a_recording_that_goes_back_in_time_is_not_waited_for() -> None:
    assert Playback(original=True).period_s(-5.0) == 0.0
