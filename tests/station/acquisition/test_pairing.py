"""Which frame a trigger gets, and what it gets when none comes."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from edge.cameras.source import frame_now
from edge.config.trigger import TriggerSettings
from edge.drop_counts import DropCounts
from edge.frame import Acquisition, Part
from edge.station.acquisition.frame_triggers import MAX_GAP, FrameTriggers
from edge.station.acquisition.pairing import Pairing
from edge.station.capture.mailbox import Mailbox
from edge.triggers.queue import TriggerQueue
from edge.triggers.source import TriggerMaker

LIMIT_S = 30
NEVER_MS = 600_000


class Ids:
    def __init__(self) -> None:
        self.given = 0

    def __call__(self) -> str:
        self.given += 1
        return f"t{self.given}"


class Side:
    """A pairing with everything around it; `fired` are the triggers that the camera was told."""

    def __init__(self, *, is_fired: bool, queue: int = 4, **settings):
        values = {"by": "software", "http_port": 1, "frame_timeout_ms": NEVER_MS, **settings}
        self.settings = TriggerSettings.model_validate(values)
        self.drops = DropCounts()
        self.queue = TriggerQueue(queue, lambda: True)
        self.box = Mailbox("every", queue + 1, self.drops)
        self.maker = TriggerMaker(self.settings, Ids())
        self.fired, self.refused, self.next_id = [], [], 0
        self.pairing = Pairing(
            "top",
            self.settings,
            self.queue,
            self.box,
            self.drops,
            on_refused=self.refused.append,
            fire=self.fired.append if is_fired else None,
        )
        self.pairing.start()

    def trigger(self, **values):
        trigger = self.maker.make("software", **values)
        assert self.pairing.offer(trigger) is None
        return trigger

    def frame(self, captured_ns=None, part=None):
        frame = frame_now("top", self.next_id, np.zeros((2, 2, 3), np.uint8), part=part)
        self.next_id += 1
        if captured_ns is not None:
            frame = replace(frame, captured_ns=captured_ns)
        assert self.pairing.put(frame, wait=False) is None
        return frame

    def taken(self, count=1):
        frames = [self.box.take(LIMIT_S) for _ in range(count)]
        assert None not in frames
        for frame in frames:
            assert self.queue.settle(frame.trigger)
        return frames


@pytest.fixture
def side():
    made = []

    def make(**settings):
        made.append(Side(**settings))
        return made[-1]

    yield make
    for each in made:
        each.pairing.close()
        each.pairing._thread.join(LIMIT_S)
        assert not each.pairing._thread.is_alive()


@pytest.mark.parametrize("is_fired", [True, False])
def test_a_frame_goes_to_its_trigger_with_the_part(side, is_fired: bool) -> None:
    one = side(is_fired=is_fired)
    trigger = one.trigger(part_id="4006-871", part_id_source="barcode")
    one.frame(part=Part("000001", "simulated", "scratch"))
    (frame,) = one.taken()
    assert frame.trigger is trigger
    assert frame.part == Part("4006-871", "barcode", "scratch")


@pytest.mark.parametrize("is_fired", [True, False])
def test_frames_without_a_trigger_are_counted_and_dropped(side, is_fired: bool) -> None:
    one = side(is_fired=is_fired)
    one.frame()
    one.trigger()
    one.frame()
    one.frame()
    assert one.taken()[0].frame_id == 1
    assert len(one.box) == 0
    assert one.drops.snapshot() == {("trigger", "unasked"): 2}
    assert one.queue.counts["unasked"] == 2


def test_a_free_camera_gives_the_first_frame_captured_after_the_trigger(side) -> None:
    one = side(is_fired=False, delay_ms=5)
    trigger = one.trigger()
    one.frame(trigger.at_ns - 1)
    one.frame(trigger.at_ns + 4_999_999)
    one.frame(trigger.at_ns + 5_000_000)
    assert one.taken()[0].frame_id == 2


def test_a_frame_is_handed_over_before_the_camera_is_fired_for_the_next_part(side) -> None:
    one = side(is_fired=True)
    waiting = []
    one.pairing._fire = lambda trigger: waiting.append((trigger, len(one.box)))
    first, second = one.trigger(), one.trigger()
    assert waiting == [(first, 0)]
    one.frame()
    assert waiting == [(first, 0), (second, 1)]


def test_overlapping_triggers_get_one_frame_each_in_order(side) -> None:
    one = side(is_fired=False)
    triggers = [one.trigger() for _ in range(3)]
    for _ in triggers:
        one.frame()
    frames = one.taken(3)
    assert [frame.trigger for frame in frames] == triggers
    assert [frame.frame_id for frame in frames] == [0, 1, 2]


def test_a_camera_is_fired_for_one_trigger_at_a_time(side) -> None:
    one = side(is_fired=True)
    first, second = one.trigger(), one.trigger()
    assert one.fired == [first]
    one.frame()
    assert one.fired == [first, second]
    one.frame()
    assert [frame.trigger for frame in one.taken(2)] == [first, second]


def test_one_too_many_is_refused_until_a_result_is_out(side) -> None:
    one = side(is_fired=True, queue=1)
    one.trigger()
    one.trigger()
    assert one.pairing.offer(one.maker.make("software")).code == "not_ready"
    one.frame()
    assert one.pairing.offer(one.maker.make("software")).code == "not_ready"
    one.taken()
    one.trigger()


def test_a_trigger_without_a_frame_gets_a_stand_in(side) -> None:
    one = side(is_fired=True, frame_timeout_ms=20)
    trigger = one.trigger(part_id="p")
    (frame,) = one.taken()
    assert frame.is_missing
    assert frame.trigger is trigger
    assert frame.part == Part("p", "command")
    assert frame.pixels_bgr is None
    assert "no frame came within 20 ms" in frame.fault
    assert frame.captured_ns - trigger.at_ns >= 20_000_000
    assert one.queue.counts["no_frame"] == 1


def test_a_late_frame_never_stands_for_the_next_part(side) -> None:
    one = side(is_fired=True, frame_timeout_ms=20)
    first = one.trigger()
    assert one.taken()[0].is_missing
    one.pairing._patience_ns = NEVER_MS * 10**6
    second = one.trigger()
    one.frame(first.at_ns + 1_000_000)
    assert len(one.box) == 0
    one.frame()
    assert one.taken()[0].trigger is second
    assert one.queue.counts["unasked"] == 1


def test_a_camera_that_does_not_take_the_trigger_is_told_at_once(side) -> None:
    one = side(is_fired=True)
    first, second = one.trigger(), one.trigger()
    one.pairing.failed(first, "it is lost")
    (frame,) = one.taken()
    assert frame.trigger is first
    assert frame.fault == "the camera took no picture: it is lost"
    assert one.fired == [first, second]
    one.pairing.failed(first, "late news")
    one.frame()
    assert one.taken()[0].trigger is second


def test_the_end_gives_up_what_waits(side) -> None:
    one = side(is_fired=True)
    triggers = [one.trigger() for _ in range(3)]
    one.pairing.close()
    frames = one.taken(3)
    assert [frame.trigger for frame in frames] == triggers
    assert all(frame.is_missing for frame in frames)
    assert one.box.closed
    assert one.pairing.offer(one.maker.make("software")).code == "stopping"


def test_a_waiting_camera_is_not_silent(side) -> None:
    one = side(is_fired=True)
    later = time.monotonic_ns() + 10**15
    assert one.pairing.silence_s(later) == 0.0
    one.trigger()
    assert one.pairing.silence_s(time.monotonic_ns() + 10**10) >= 9.9
    one.frame()
    assert one.pairing.silence_s(later) == 0.0


def test_triggers_without_frames_add_up_to_silence(side) -> None:
    one = side(is_fired=True, frame_timeout_ms=20)
    for _ in range(3):
        one.trigger()
        one.taken()
    assert one.pairing.silence_s(time.monotonic_ns()) == 0.0
    one.pairing._patience_ns = NEVER_MS * 10**6
    one.trigger()
    assert one.pairing.silence_s(one.pairing._asked_ns) >= 0.06
    one.frame()
    one.trigger()
    assert one.pairing.silence_s(one.pairing._asked_ns) == 0.0


class Belt:
    """A camera that triggers itself."""

    def __init__(self, size: int = 64, is_judging=lambda: True):
        self.drops = DropCounts()
        self.queue = TriggerQueue(1, is_judging)
        self.box = Mailbox("every", size, self.drops)
        self.refused = []
        maker = TriggerMaker(TriggerSettings(by="hardware", deadline_ms=10), Ids())
        self.triggers = FrameTriggers(
            "top", "hardware", maker, self.queue, self.box, self.drops,
            on_refused=self.refused.append,
        )  # fmt: skip

    def put(self, frame_id: int, block_id: int | None = None):
        frame = frame_now("top", frame_id, np.zeros((2, 2, 3), np.uint8))
        if block_id is not None:
            frame = replace(frame, acquisition=Acquisition(block_id=block_id))
        return self.triggers.put(frame, wait=False)

    def waiting(self):
        return [self.box.take(0) for _ in range(len(self.box))]


def test_each_frame_is_a_trigger_of_the_moment_of_its_capture() -> None:
    belt = Belt()
    belt.put(0)
    belt.put(1)
    first, second = belt.waiting()
    assert first.trigger.id != second.trigger.id
    assert first.trigger.at_ns == first.captured_ns
    assert first.trigger.deadline_ns == first.captured_ns + 10_000_000
    assert first.trigger.source == "hardware"


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ([0, 1, 2], 0),
        ([0, 3], 2),
        ([7, 8], 0),
        ([65534, 65535, 1, 2], 0),
        ([65534, 2], 2),
        ([5, 2], 0),
        ([5, 5 + MAX_GAP + 2], 0),
    ],
)
def test_gaps_in_the_cameras_numbers_are_triggers_without_a_frame(numbers, missing: int) -> None:
    belt = Belt(size=100)
    for count, number in enumerate(numbers):
        belt.put(count, number)
    frames = belt.waiting()
    assert sum(frame.is_missing for frame in frames) == missing
    assert len(frames) == len(numbers) + missing
    assert len({frame.trigger.id for frame in frames}) == len(frames)
    assert belt.queue.counts["no_frame"] == missing


def test_frame_ids_tell_the_gaps_of_sources_without_numbers() -> None:
    belt = Belt()
    belt.put(0)
    belt.put(2)
    assert [frame.is_missing for frame in belt.waiting()] == [False, True, False]


def test_a_reopened_camera_begins_to_count_anew() -> None:
    belt = Belt()
    belt.put(0, 10)
    belt.triggers.reopened()
    belt.put(1, 500)
    assert len(belt.waiting()) == 2


def test_a_full_queue_refuses_frames_that_still_get_their_result() -> None:
    belt = Belt(size=1)
    belt.put(0)
    refused = belt.put(3)
    assert refused.trigger is not None
    assert [frame.is_missing for frame in belt.refused] == [True, True]
    assert len(belt.queue.open) == 4


def test_a_stopped_line_takes_no_triggers() -> None:
    belt = Belt(is_judging=lambda: False)
    belt.put(0)
    belt.put(5)
    assert belt.waiting() == []
    assert belt.queue.open == ()
    assert belt.drops.snapshot() == {("line", "stopped"): 2}


def test_a_camera_with_an_input_never_owes_a_frame() -> None:
    assert Belt().triggers.silence_s(10**18) == 0.0
