import threading
import time

import cv2
import numpy as np
import pytest

from edge.cameras.source import frame_now
from edge.config.station import CameraSettings
from edge.drop_counts import DropCounts
from edge.errors import CameraTimeout, CameraUnavailable
from edge.station.capture.capture import Capture, make_mailbox

SMALL = "test://conveyor?size=64x48"


class Line:
    """A capture with everything around it; the test is the line that takes the frames."""

    def __init__(self, address=SMALL, factory=None, **settings):
        settings = {
            "retry_interval_s": 0.05,
            "retry_max_s": 0.2,
            "stall_timeout_s": 0.3,
            **settings,
        }
        self.settings = CameraSettings(name="top", source=address, **settings)
        self.drops, self.refused, self.changes = DropCounts(), [], []
        options = {"source_factory": factory} if factory else {}
        self.box = make_mailbox(self.settings, self.drops, **options)
        self.capture = Capture(
            self.settings,
            self.box,
            self.drops,
            on_refused=self.refused.append,
            on_change=self.changes.append,
            **options,
        )

    def take(self, count=10_000, timeout_s=5.0):
        """Take up to `count` frames, checking as a line does, until the end."""
        deadline, taken = time.monotonic() + timeout_s, []
        while len(taken) < count:
            assert time.monotonic() < deadline, f"only {len(taken)} frames came"
            self.capture.check(time.monotonic_ns())
            frame = self.box.take(0.05)
            if frame is not None:
                taken.append(frame)
            elif self.box.closed:
                break
        return taken

    def until(self, condition, timeout_s=5.0):
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            self.capture.check(time.monotonic_ns())
            time.sleep(0.01)

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
        assert each.capture.join(2), "the capture thread must end within two seconds"


class Script:
    """A source that plays a list: a picture value, an exception, or something to call."""

    def __init__(self, *steps, is_live=True, opens=()):
        self.steps, self.opens, self.is_live = list(steps), list(opens), is_live
        self.opened_at, self.closed, self.next_id = [], 0, 0

    def __call__(self, settings):
        return self

    def open(self):
        self.opened_at.append(time.monotonic())
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


def numbers(frames):
    return [frame.frame_id for frame in frames]


# Files and the regular end


def test_every_file_arrives_in_order_and_then_the_mailbox_closes(line, tmp_path):
    for number in range(20):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((8, 8, 3), number, np.uint8))
    it = line(f"file://{tmp_path}", queue_size=2)
    it.capture.open()
    it.capture.start()
    taken = it.take()
    assert numbers(taken) == list(range(20))
    assert [int(frame.pixels_bgr[0, 0, 0]) for frame in taken] == list(range(20))
    assert it.drops.total == 0
    state = it.capture.state
    assert (state.ended, state.connected, state.frames, state.reconnects) == (True, False, 20, 0)
    assert [(change.connected, change.ended) for change in it.changes] == [
        (True, False),
        (False, True),
    ]


def test_files_that_all_look_the_same_are_not_a_frozen_camera(line, tmp_path):
    for number in range(60):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((8, 8, 3), np.uint8))
    it = line(f"file://{tmp_path}?fps=100")
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


def test_a_slow_line_behind_a_live_camera_gets_the_newest_frames_and_counts_the_rest(line):
    it = line(f"{SMALL}&fps=200&parts=60")
    it.capture.start()
    taken = []
    while not it.box.closed:
        taken += it.take(1)
        time.sleep(0.05)
    assert 3 < len(taken) < 15
    assert numbers(taken)[-1] == 59
    assert len(taken) + it.count("mailbox", "superseded") == 60


def test_a_full_queue_behind_a_live_camera_hands_refused_frames_back(line):
    it = line(f"{SMALL}&fps=200&parts=40", buffer="every", queue_size=3)
    it.capture.start()
    it.until(lambda: it.capture.state.ended)
    taken = it.take()
    assert numbers(taken) == [0, 1, 2]
    assert numbers(it.refused) == list(range(3, 40))
    assert it.count("mailbox", "overrun") == 37


def test_a_broken_frame_passes_like_any_other(line):
    it = line(f"{SMALL}&parts=30&fault=corrupt:0.3")
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


def test_a_driver_that_hangs_in_open_at_start_is_an_error_in_time(line):
    let_go = threading.Event()
    script = Script(3)
    script.open = lambda: let_go.wait(10)
    it = line(factory=script, stall_timeout_s=0.1)
    start = time.monotonic()
    with pytest.raises(CameraTimeout, match=r"to open the camera within 0\.3 s, got no answer"):
        it.capture.open()
    let_go.set()
    assert time.monotonic() - start < 1
    assert script.closed


def test_without_open_a_missing_camera_is_awaited_and_told_once(line, tmp_path):
    it = line(f"file://{tmp_path}/later")
    it.capture.start()
    it.until(lambda: it.capture.state.detail)
    time.sleep(0.3)
    (tmp_path / "later").mkdir()
    cv2.imwrite(str(tmp_path / "later/1.png"), np.zeros((8, 8, 3), np.uint8))
    assert len(it.take()) == 1
    assert [change.connected for change in it.changes] == [False, True, False]
    assert "found no such file or folder" in it.changes[0].detail
    assert it.changes[1].detail == ""
    assert it.changes[1].reconnects == 0


# Loss and return


def test_after_a_loss_frames_come_back_with_ids_that_go_on(line):
    it = line(f"{SMALL}&parts=12&fault=lost:5:0.3")
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
    script = Script(1, 2, 3, CameraUnavailable("gone"), 4, 5, is_live=False)

    def restart():
        script.next_id = 0
        script.opened_at.append(0)

    script.open = restart
    it = line(factory=script)
    it.capture.start()
    assert numbers(it.take()) == [0, 1, 2, 3, 4]
    assert it.drops.total == 0
    assert script.closed >= 1


def test_the_wait_between_attempts_doubles_up_to_its_limit(line):
    script = Script(1, opens=[CameraUnavailable("no")] * 6)
    it = line(factory=script, retry_interval_s=0.05, retry_max_s=0.2)
    it.capture.start()
    it.take()
    waits = np.diff(script.opened_at)
    for wait, nominal in zip(waits, (0.05, 0.1, 0.2, 0.2, 0.2, 0.2), strict=True):
        assert 0.79 * nominal < wait < nominal + 0.06
    assert len({round(wait, 4) for wait in waits[2:]}) > 1, "the waits should be spread"


def test_a_lost_camera_is_tried_at_once_when_told(line):
    gone, still = CameraUnavailable("top: gone"), CameraUnavailable("top: still gone")
    source = Script(1, gone, 2, 3, opens=[None, still])
    it = line(factory=source, retry_interval_s=60, retry_max_s=60)
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
    it = line(f"{SMALL}&parts=100&fault=drop:0.2")
    it.capture.start()
    taken = it.take()
    assert len(taken) < 95
    missed_after_the_last = 99 - taken[-1].frame_id
    assert len(taken) + it.count("camera", "gap") + missed_after_the_last == 100


def test_the_detail_never_shows_credentials(line):
    script = Script(1, opens=[CameraUnavailable("rtsp://user:pa55@host/p?token=abc: no")])
    it = line(factory=script)
    it.capture.start()
    it.take()
    assert it.changes[0].detail == "rtsp://***@host/p?token=*** no"


# Stuck and frozen


def test_a_stuck_driver_is_abandoned_and_every_part_is_accounted_for(line):
    it = line(f"{SMALL}&fps=100&parts=40&fault=hang:10:1.0", buffer="every", queue_size=100)
    it.capture.open()
    it.capture.start()
    start = time.monotonic()
    taken = it.take()
    assert time.monotonic() - start < 1.0, "frames must not wait for the stuck driver"
    it.until(lambda: it.count("capture", "abandoned"))
    assert it.drops.snapshot() == {("capture", "abandoned"): 1}
    parts = [int(frame.part.id) for frame in taken]
    assert parts == [number for number in range(40) if number != 10]
    assert numbers(taken) == list(range(39))
    assert [change.connected for change in it.changes] == [True, False, True, False]
    assert "delivered nothing for 0.3" in it.changes[1].detail
    assert it.capture.state.reconnects == 1


def test_a_handful_of_stuck_threads_is_the_limit(line):
    let_go, made = threading.Event(), []

    def stuck():
        assert let_go.wait(10)
        return 7

    def factory(settings):
        made.append(Script(stuck))
        return made[-1]

    it = line(factory=factory, stall_timeout_s=0.05)
    it.capture.start()
    made_before = len(made)
    it.until(lambda: "4 of 4 stuck" in it.capture.state.detail)
    for _ in range(20):
        it.capture.check(time.monotonic_ns())
        time.sleep(0.01)
    assert len(made) - made_before == 3, "the first reader and three replacements, no more"
    let_go.set()
    it.until(lambda: it.count("capture", "abandoned") == 4)
    assert len(it.take(1)) == 1


def test_a_camera_that_repeats_one_picture_is_reopened(line):
    it = line(f"{SMALL}&fps=200&fault=freeze:5:0.6")
    it.capture.open()
    it.capture.start()
    it.until(lambda: len(it.changes) >= 3)
    assert "repeats one picture" in it.changes[1].detail
    assert [change.connected for change in it.changes[:3]] == [True, False, True]
    time.sleep(0.4)
    reconnects = it.capture.state.reconnects
    time.sleep(0.4)
    assert it.capture.state.reconnects == reconnects, "the cure holds"


def test_a_slow_file_is_not_a_stuck_camera(line):
    def slow():
        time.sleep(0.4)
        return 1

    it = line(factory=Script(slow, is_live=False), stall_timeout_s=0.05)
    it.capture.start()
    assert len(it.take()) == 1
    assert it.capture.state.reconnects == 0


def test_a_mistake_in_the_code_reaches_the_main_thread(line):
    it = line(factory=Script(1, ZeroDivisionError("a bug")))
    it.capture.start()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        it.until(lambda: False)
    assert it.box.take(0) is not None
    assert it.box.closed, "whoever waits for frames is woken"


# Stop: within two seconds from wherever the thread is (the fixture joins)


@pytest.mark.parametrize(
    ("address", "settings"),
    [
        (f"{SMALL}&fps=0.5", {"stall_timeout_s": 5}),
        (SMALL, {"queue_size": 1}),
        ("file:///nowhere/at/all", {"retry_interval_s": 30, "retry_max_s": 30}),
        (f"{SMALL}&fps=100", {}),
    ],
    ids=["in read", "in put", "between attempts", "busy"],
)
def test_stop_ends_the_thread_wherever_it_is(line, address, settings):
    it = line(address, **settings)
    it.capture.start()
    time.sleep(0.15)
    start = time.monotonic()
    it.capture.stop()
    assert it.capture.join(1)
    assert time.monotonic() - start < 0.5
    assert it.capture.join(0)
    before = threading.active_count()
    it.capture.check(time.monotonic_ns() + 10**12)
    assert threading.active_count() == before, "nothing starts again after stop"


def test_stop_does_not_wait_for_a_stuck_driver(line):
    it = line(f"{SMALL}&fps=100&fault=hang:2:1.0", stall_timeout_s=10)
    it.capture.start()
    it.until(lambda: it.capture.state.frames == 2)
    time.sleep(0.1)
    it.capture.stop()
    start = time.monotonic()
    assert not it.capture.join(0.1)
    assert time.monotonic() - start < 0.5
    assert it.capture.join(2)
    assert it.count("capture", "stopped") == 1


# State


def test_the_state_tells_the_rate_and_the_last_frame(line):
    it = line(f"{SMALL}&fps=50&parts=31")
    it.capture.start()
    taken = it.take()
    state = it.capture.state
    assert state.fps == pytest.approx(50, rel=0.15)
    assert state.last_frame_ns == taken[-1].captured_ns
    assert state.frames == 31


def test_the_threads_have_names(line):
    it = line(f"{SMALL}&fps=20")
    it.capture.start()
    assert "camera-top" in [thread.name for thread in threading.enumerate()]
