"""The capture thread, with scripted sources. No test depends on how fast the machine is.

Limits on waiting are generous: they only end a test that would otherwise hang. Whatever is overdue
is so by the time handed to `check`, not by the clock.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.cameras.factory import make_source
from edge.cameras.source import frame_now
from edge.config.camera import CameraSettings
from edge.drop_counts import DropCounts
from edge.errors import CameraTimeout, CameraUnavailable
from edge.station.capture.capture import Capture, make_mailbox
from edge.station.capture.reader import Reader

FILES, LIVE = "test://conveyor?size=64x48", "test://conveyor?size=64x48&fps=200"
LIMIT_S = 30  # less than the pause of a retry that nobody hurries
LATER_NS = 10**15


class Line:
    """A capture with everything around it; the test takes the frames as an inspection does."""

    def __init__(self, address=FILES, factory=make_source, selector=None, **settings):
        settings = {
            "retry_interval_s": 0.01,
            "retry_max_s": 0.02,
            "stall_timeout_s": 600,
        } | settings
        self.settings = CameraSettings(name="top", source=address, **settings)
        self.drops, self.refused, self.changes = DropCounts(), [], []
        self.sources = []
        self.box = make_mailbox(self.settings, self.drops)

        def make(camera):
            self.sources.append(factory(camera))
            return self.sources[-1]

        self.capture = Capture(
            self.settings,
            make(self.settings),
            self.box,
            self.drops,
            source_factory=make,
            on_refused=self.refused.append,
            on_change=self.changes.append,
            selector=selector,
        )

    def take(self, count=10_000):
        """Take up to `count` frames, checking as a station does, until the end."""
        deadline, taken = time.monotonic() + LIMIT_S, []
        while len(taken) < count:
            assert time.monotonic() < deadline, f"only {len(taken)} frames came"
            self.capture.check(time.monotonic_ns())
            frame = self.box.take(0.05)
            if frame is not None:
                taken.append(frame)
            elif self.box.closed:
                break
        return taken

    def until(self, condition):
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            self.capture.check(time.monotonic_ns())
            time.sleep(0.005)

    def check_later(self):
        """Check as if a long time had passed: every driver call under way is overdue."""
        self.capture.check(time.monotonic_ns() + LATER_NS)

    def count(self, where, reason):
        return self.drops.snapshot().get((where, reason), 0)


@pytest.fixture
def line():
    lines = []

    def make(*arguments, **settings):
        lines.append(Line(*arguments, **settings))
        return lines[-1]

    yield make
    for each in lines:
        each.capture.stop()
        assert each.capture.join(LIMIT_S), "the capture thread must end"


class Script:
    """A source that plays a list: a picture value, an exception, or something to call."""

    def __init__(self, *steps, opens=()):
        self.steps, self.opens = list(steps), list(opens)
        self.opened, self.closed, self.next_id = 0, 0, 0

    def __call__(self, settings):
        return self

    def open(self):
        self.opened += 1
        if self.opens and (error := self.opens.pop(0)):
            raise error

    def read(self):
        step = self.steps.pop(0) if self.steps else None
        if isinstance(step, Exception):
            raise step
        if callable(step):
            step = step()
        if step is None:
            return None
        self.next_id += 1
        return frame_now("top", self.next_id - 1, np.full((4, 4, 3), step, np.uint8))

    def close(self):
        self.closed += 1


class Stuck:
    """A driver call that does not return before it is let go; then it gives the value 7."""

    def __init__(self):
        self.entered, self.let_go = threading.Event(), threading.Event()

    def __call__(self):
        self.entered.set()
        assert self.let_go.wait(LIMIT_S)
        return 7


@pytest.fixture
def stuck():
    """Make calls that are stuck until the end of the test at the latest."""
    made = []

    def make():
        made.append(Stuck())
        return made[-1]

    yield make
    for each in made:
        each.let_go.set()


class Pauses(list):
    """Pauses between attempts, seconds; those numbered in `hurried` (from 1) are cut short."""

    hurried = ()

    def pause(self, pause_s):
        self.append(pause_s)
        return len(self) in self.hurried


@pytest.fixture
def pauses(monkeypatch):
    """Record the pauses between attempts instead of making them."""
    made = Pauses()
    monkeypatch.setattr(Reader, "pause", lambda _, pause_s: made.pause(pause_s))
    monkeypatch.setattr("edge.station.capture.back_off._SPREAD", 0)
    return made


def gone(times=1):
    return [CameraUnavailable("gone")] * times


def numbers(frames):
    return [frame.frame_id for frame in frames]


def values(frames):
    return [int(frame.pixels_bgr[0, 0, 0]) for frame in frames]


# Files and the regular end


def test_every_file_arrives_in_order_and_then_the_mailbox_closes(line, tmp_path):
    for number in range(20):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((8, 8, 3), number, np.uint8))
    it = line(f"file://{tmp_path}", queue_size=2)
    it.capture.open()
    it.capture.start()
    taken = it.take()
    assert numbers(taken) == list(range(20))
    assert values(taken) == list(range(20))
    assert it.drops.total == 0
    state = it.capture.state
    assert (state.ended, state.connected, state.frames, state.reconnects) == (True, False, 20, 0)
    assert state.last_frame_ns == taken[-1].captured_ns
    assert [(change.connected, change.ended) for change in it.changes] == [
        (True, False),
        (False, True),
    ]


class Frozen(Script):
    """Gives equal pictures whose capture times are a second apart."""

    def read(self):
        frame = super().read()
        return frame and replace(frame, captured_ns=frame.frame_id * 10**9)


def test_files_that_all_look_the_same_are_not_a_frozen_camera(line):
    it = line(FILES, Frozen(*[1] * 60), stall_timeout_s=10)
    it.capture.start()
    assert len(it.take()) == 60
    assert it.capture.state.reconnects == 0


@pytest.mark.parametrize(
    ("address", "buffer", "policy"),
    [
        ("file:///data", "auto", "every"),
        ("test://conveyor", "auto", "every"),
        ("test://conveyor?fps=50", "auto", "latest"),
        ("rtsp://host/p", "auto", "latest"),
        ("file:///data", "latest", "latest"),
        ("test://conveyor?fps=50", "every", "every"),
    ],
)
def test_the_policy_follows_from_the_camera_unless_it_is_given(address, buffer, policy):
    settings = CameraSettings(source=address, buffer=buffer)
    assert make_mailbox(settings, DropCounts()).policy == policy


def test_a_slow_line_behind_a_live_camera_gets_the_newest_frames_and_counts_the_rest(line, stuck):
    wait = stuck()
    it = line(LIVE, Script(*range(30), wait, *range(31, 60)))
    it.capture.start()
    assert wait.entered.wait(LIMIT_S)
    first = it.take(1)
    wait.let_go.set()
    it.until(lambda: it.capture.state.ended)
    assert numbers(first + it.take()) == [29, 59]
    assert it.drops.snapshot() == {("mailbox", "superseded"): 58}


def test_a_full_queue_behind_a_live_camera_hands_refused_frames_back(line):
    it = line(LIVE, Script(*range(40)), buffer="every", queue_size=3)
    it.capture.start()
    it.until(lambda: it.capture.state.ended)
    taken = it.take()
    assert numbers(taken) == [0, 1, 2]
    assert numbers(it.refused) == list(range(3, 40))
    assert it.count("mailbox", "overrun") == 37


def test_a_broken_frame_passes_like_any_other(line):
    it = line(f"{FILES}&parts=30&fault=corrupt:0.3")
    it.capture.start()
    taken = it.take()
    assert numbers(taken) == list(range(30))
    assert any(frame.fault for frame in taken)


# Start


def test_a_camera_that_is_absent_at_start_is_an_error_at_once(line, tmp_path):
    it = line(f"file://{tmp_path}/nowhere")
    with pytest.raises(CameraUnavailable, match="found no such file or folder"):
        it.capture.open()
    assert it.changes == []


def test_a_driver_that_hangs_in_open_at_start_is_an_error_in_time(line, stuck):
    script = Script(3)
    script.open = stuck()
    it = line(LIVE, script, stall_timeout_s=0.1)
    with pytest.raises(CameraTimeout, match=r"to open the camera within 0\.3 s, got no answer"):
        it.capture.open()
    assert script.closed


def test_without_open_a_missing_camera_is_awaited_and_told_once(line):
    it = line(FILES, Script(1, opens=[CameraUnavailable("top: no such file")] * 5))
    it.capture.start()
    assert len(it.take()) == 1
    assert it.sources[0].opened == 6
    assert [(change.connected, change.detail, change.reconnects) for change in it.changes] == [
        (False, "top: no such file", 0),
        (True, "", 0),
        (False, "", 0),
    ]


# Loss and return


def test_after_a_loss_frames_come_back_with_ids_that_go_on(line):
    it = line(f"{FILES}&parts=12&fault=lost:5:0.3")
    it.capture.open()
    it.capture.start()
    taken = it.take()
    assert numbers(taken) == list(range(12))
    assert [frame.part.id for frame in taken] == [f"{i:06d}" for i in range(12)]
    assert [(c.connected, c.reconnects) for c in it.changes] == [
        (True, 0),
        (False, 0),
        (True, 1),
        (False, 1),
    ]
    assert "simulated loss" in it.changes[1].detail


def test_ids_go_on_also_behind_a_source_that_counts_anew(line):
    script = Script(1, 2, 3, *gone(), 4, 5)

    def restart():
        script.next_id = 0

    script.open = restart
    it = line(FILES, script)
    it.capture.start()
    assert numbers(it.take()) == [0, 1, 2, 3, 4]
    assert it.drops.total == 0
    assert script.closed >= 1


def test_the_pause_between_attempts_doubles_up_to_its_limit(line, pauses):
    it = line(FILES, Script(1, opens=gone(6)), retry_interval_s=0.5, retry_max_s=2.0)
    it.capture.start()
    it.take()
    assert pauses == [0.5, 1, 2, 2, 2, 2]


def test_after_a_good_frame_the_pauses_begin_with_the_first_again(line, pauses):
    script = Script(1, *gone(), 2, opens=[*gone(3), None, *gone(1)])
    it = line(FILES, script, retry_interval_s=0.5, retry_max_s=60.0)
    it.capture.start()
    assert values(it.take()) == [1, 2]
    assert pauses == [0.5, 1, 2, 0.5, 1]


def test_after_a_pause_that_was_cut_short_they_begin_with_the_first_again(line, pauses):
    pauses.hurried = {3}
    it = line(FILES, Script(1, opens=gone(5)), retry_interval_s=0.5, retry_max_s=60.0)
    it.capture.start()
    it.take()
    assert pauses == [0.5, 1, 2, 0.5, 1]


def test_a_camera_that_opens_and_gives_no_frame_is_tried_ever_less_often(line, pauses):
    it = line(FILES, Script(*gone(4), 1), retry_interval_s=0.5, retry_max_s=60.0)
    it.capture.start()
    it.take()
    assert pauses == [0.5, 1, 2, 4]


def test_a_lost_camera_is_tried_at_once_when_told(line):
    lost, still = CameraUnavailable("top: gone"), CameraUnavailable("top: still gone")
    script = Script(1, lost, 2, 3, opens=[None, still])
    it = line(FILES, script, retry_interval_s=60, retry_max_s=60)
    it.capture.open()
    assert not it.capture.retry(), "it is there"
    it.capture.start()
    it.until(lambda: len(it.changes) == 2)
    assert it.capture.retry()
    it.until(lambda: len(it.changes) == 4)
    assert it.capture.retry()
    it.until(lambda: it.capture.state.ended)
    assert [(change.connected, change.detail) for change in it.changes[:6]] == [
        (True, ""),
        (False, "top: gone"),
        (False, ""),
        (False, "top: still gone"),
        (False, ""),
        (True, ""),
    ]


def test_frames_missed_by_the_camera_are_counted_from_the_ids(line):
    it = line(f"{FILES}&parts=100&fault=drop:0.2")
    it.capture.start()
    taken = it.take()
    assert len(taken) < 95
    missed_after_the_last = 99 - taken[-1].frame_id
    assert len(taken) + it.count("camera", "gap") + missed_after_the_last == 100


def test_the_detail_never_shows_credentials(line):
    script = Script(1, opens=[CameraUnavailable("rtsp://user:pa55@host/p?token=abc: no")])
    it = line(FILES, script)
    it.capture.start()
    it.take()
    assert it.changes[0].detail == "rtsp://***@host/p?token=*** no"


# Stuck and frozen


def test_a_stuck_driver_is_abandoned_and_every_part_is_accounted_for(line, stuck):
    hang = stuck()
    scripts = iter([Script(*range(10), hang), Script(*range(10, 40))])
    it = line(LIVE, lambda _: next(scripts), buffer="every", queue_size=100)
    it.capture.open()
    it.capture.start()
    assert hang.entered.wait(LIMIT_S)
    it.capture.check(time.monotonic_ns())
    assert len(it.sources) == 1, "within its time limit a driver is left alone"
    it.check_later()
    taken = it.take()
    assert not hang.let_go.is_set(), "frames must not wait for the stuck driver"
    assert values(taken) == list(range(40))
    assert numbers(taken) == list(range(40))
    hang.let_go.set()
    it.until(lambda: it.count("capture", "abandoned"))
    assert it.drops.snapshot() == {("capture", "abandoned"): 1}
    assert [change.connected for change in it.changes] == [True, False, True, False]
    assert "delivered nothing for 100000" in it.changes[1].detail
    assert it.capture.state.reconnects == 1


def test_a_handful_of_stuck_threads_is_the_limit(line, stuck):
    hangs = [stuck() for _ in range(5)]
    scripts = iter([Script(hang) for hang in hangs])
    it = line(LIVE, lambda _: next(scripts))
    it.capture.start()
    for hang in hangs[:4]:
        assert hang.entered.wait(LIMIT_S)
        it.check_later()
    assert "4 of 4 stuck" in it.capture.state.detail
    it.check_later()
    assert len(it.sources) == 4, "the first source and three more, then no other one"
    hangs[0].let_go.set()
    it.until(lambda: len(it.sources) == 5)
    for hang in hangs[1:]:
        hang.let_go.set()
    it.until(lambda: it.count("capture", "abandoned") == 4)
    assert values(it.take(1)) == [7]


def test_a_camera_that_repeats_one_picture_is_reopened(line):
    script = Frozen(1, 2, *[3] * 31, *range(100, 140))
    it = line(LIVE, script, buffer="every", queue_size=100, stall_timeout_s=10)
    it.capture.open()
    it.capture.start()
    assert values(it.take()) == [1, 2, *[3] * 31, *range(100, 140)]
    assert [change.connected for change in it.changes] == [True, False, True, False]
    assert "repeats its pictures for 10 s" in it.changes[1].detail
    assert it.changes[3].ended, "the cure holds"


def test_a_picture_that_came_before_is_marked_also_after_a_reopening(line):
    script = Script(1, 2, 1, 2, CameraUnavailable("gone"), 2, 3, CameraUnavailable("gone"), 1, 4)
    it = line(LIVE, script, buffer="every", queue_size=100)
    it.capture.open()
    it.capture.start()
    frames = it.take()
    assert [(frame.pixels_bgr[0, 0, 0], frame.is_repeat) for frame in frames] == [
        (1, False), (2, False), (1, True), (2, True), (2, True), (3, False), (1, True), (4, False)
    ]  # fmt: skip


def test_two_pictures_in_turn_are_a_frozen_camera(line):
    script = Frozen(*[1, 2] * 16, 5)
    it = line(LIVE, script, buffer="every", queue_size=100, stall_timeout_s=10)
    it.capture.open()
    it.capture.start()
    it.take()
    assert [change.connected for change in it.changes] == [True, False, True, False]
    assert "repeats its pictures for 10 s" in it.changes[1].detail


class Sized(Script):
    """Its steps are sides of square pictures."""

    def read(self):
        frame = super().read()
        if frame is None:
            return None
        side = int(frame.pixels_bgr[0, 0, 0])
        pixels = np.full((side, side, 3), frame.frame_id, np.uint8)
        return replace(frame, pixels_bgr=pixels)


def test_a_camera_that_comes_back_with_another_size_is_refused(line):
    script = Sized(16, CameraUnavailable("gone"), 8, 32, 16)
    it = line(LIVE, script, buffer="every", queue_size=100)
    it.capture.open()
    it.capture.start()
    first, small, large, last = it.take()
    assert first.fault is last.fault is None
    assert small.fault == (
        "expected 16x16 pixels as before, found 8x8; check the camera's settings, or restart the "
        "station if that size is meant"
    )
    assert "found 32x32" in large.fault


def test_files_may_have_any_size(line):
    it = line(FILES, Sized(16, 8))
    it.capture.open()
    it.capture.start()
    assert [frame.fault for frame in it.take()] == [None, None]


def test_files_may_repeat_their_pictures(line):
    it = line(FILES, Script(*[3] * 50))
    it.capture.open()
    it.capture.start()
    assert not any(frame.is_repeat for frame in it.take())


def test_a_slow_file_is_not_a_stuck_camera(line, stuck):
    slow = stuck()
    it = line(FILES, Script(slow))
    it.capture.start()
    assert slow.entered.wait(LIMIT_S)
    it.check_later()
    slow.let_go.set()
    assert len(it.take()) == 1
    assert it.capture.state.reconnects == 0
    assert len(it.sources) == 1


def test_a_mistake_in_the_code_reaches_the_main_thread(line):
    it = line(FILES, Script(1, ZeroDivisionError("a bug")))
    it.capture.start()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        it.until(lambda: False)
    assert it.box.take(0) is not None
    assert it.box.closed, "whoever waits for frames is woken"


# Stop. Nothing would end the waits below within the limit but the stop itself.


@pytest.mark.parametrize(
    ("address", "settings", "is_there"),
    [
        (f"{FILES}&fps=0.01", {}, lambda it: it.capture.state.frames == 1),
        (FILES, {"queue_size": 1}, lambda it: it.capture.state.frames == 2),
        (
            "file:///nowhere/at/all",
            {"retry_interval_s": 60, "retry_max_s": 600},
            lambda it: it.capture.state.detail,
        ),
        (LIVE, {}, lambda it: it.capture.state.frames > 5),
    ],
    ids=["in read", "in put", "between attempts", "busy"],
)
def test_stop_ends_the_thread_wherever_it_is(line, address, settings, is_there):
    it = line(address, **settings)
    it.capture.start()
    it.until(lambda: is_there(it))
    it.capture.stop()
    assert it.capture.join(LIMIT_S / 2)
    it.check_later()
    assert len(it.sources) == 1, "nothing starts again after stop"


def test_stop_does_not_wait_for_a_stuck_driver(line, stuck):
    hang = stuck()
    it = line(LIVE, Script(1, hang))
    it.capture.start()
    assert hang.entered.wait(LIMIT_S)
    it.capture.stop()
    assert not it.capture.join(0.05)
    hang.let_go.set()
    assert it.capture.join(LIMIT_S)
    assert it.count("capture", "stopped") == 1


def test_the_threads_have_names(line, stuck):
    it = line(LIVE, Script(stuck()))
    it.capture.start()
    assert "camera-top" in [thread.name for thread in threading.enumerate()]


class OneLate:
    """A selector that chooses every second frame, one frame later, and owes the rest."""

    def __init__(self):
        self.held = []

    def take(self, frame):
        if frame.frame_id % 2 == 0:
            self.held.append(frame)
            return None
        return self.held.pop(0) if frame.frame_id > 1 else None

    def finish(self):
        return self.held.pop(0) if self.held else None


def test_only_chosen_frames_reach_the_mailbox_and_what_is_owed_comes_at_the_end(line):
    station = line("test://conveyor?size=64x48&parts=6", selector=OneLate())
    station.capture.start()
    assert [frame.frame_id for frame in station.take()] == [0, 2, 4]
