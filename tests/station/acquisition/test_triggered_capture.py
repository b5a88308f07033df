"""A triggered camera that is lost, stuck or replaced; with scripted sources, by no clock."""

from __future__ import annotations

import queue
import threading
import time

import numpy as np
import pytest

from edge.cameras.source import frame_now
from edge.config.camera import CameraSettings
from edge.config.trigger import TriggerSettings
from edge.drop_counts import DropCounts
from edge.errors import CameraUnavailable, ConfigError
from edge.station.acquisition.triggered_capture import TriggeredCapture, triggered_source
from edge.station.capture.mailbox import Mailbox
from edge.trigger import Trigger
from edge.triggers.queue import TriggerQueue

LIMIT_S = 30
LATER_NS = 10**15


class Armed:
    """A live camera that waits for `fire`; deaf ones take it and never answer."""

    def __init__(self) -> None:
        self.is_deaf = False
        self.fired = 0
        self.is_closed = threading.Event()
        self._pictures: queue.Queue[int] = queue.Queue()
        self._next_id = 0

    def open(self) -> None:
        self.is_closed.clear()

    def fire(self) -> None:
        if self.is_closed.is_set():
            raise CameraUnavailable("closed")
        self.fired += 1
        if not self.is_deaf:
            self._pictures.put(time.monotonic_ns())

    def read(self):
        while True:
            try:
                self._pictures.get(timeout=0.01)
            except queue.Empty:
                if self.is_closed.is_set():
                    raise CameraUnavailable("closed") from None
                continue
            self._next_id += 1
            pixels = np.random.default_rng(self._next_id).integers(0, 255, (4, 4, 3), np.uint8)
            return frame_now("top", self._next_id - 1, pixels)

    def close(self) -> None:
        self.is_closed.set()


class Side:
    def __init__(self, **settings):
        self.camera = CameraSettings(
            name="top",
            source="test://conveyor?fps=50",  # live; the scripted sources stand in its place
            stall_timeout_s=600,
            retry_interval_s=0.01,
            retry_max_s=0.02,
        )
        values = {"by": "software", "http_port": 1, "frame_timeout_ms": 600_000, **settings}
        trigger = TriggerSettings.model_validate(values)
        trigger = trigger.model_copy(update={"http_port": None})
        self.drops, self.sources, self.changes = DropCounts(), [], []
        self.queue = TriggerQueue(4, lambda: True)
        self.box = Mailbox("every", 5, self.drops)
        self.capture = TriggeredCapture(
            self.camera,
            trigger,
            self.make(),
            self.queue,
            self.box,
            self.drops,
            on_refused=pytest.fail,
            on_change=self.changes.append,
            source_factory=lambda _: self.make(),
        )
        self.capture.open()
        self.capture.start()

    def make(self) -> Armed:
        self.sources.append(Armed())
        return self.sources[-1]

    def trigger(self) -> Trigger:
        outcome = self.capture.request({})
        assert isinstance(outcome, Trigger)
        return outcome

    def take(self):
        frame = self.box.take(LIMIT_S)
        assert frame is not None
        assert self.queue.settle(frame.trigger)
        return frame

    def until(self, condition) -> None:
        end = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            self.capture.check(time.monotonic_ns())
            time.sleep(0.005)


@pytest.fixture
def side():
    made = []

    def make(**settings):
        made.append(Side(**settings))
        return made[-1]

    yield make
    for each in made:
        each.capture.stop()
        assert each.capture.join(LIMIT_S)


def test_a_waiting_camera_is_not_a_stalled_one(side) -> None:
    one = side()
    for _ in range(3):
        one.capture.check(time.monotonic_ns() + LATER_NS)
    assert len(one.sources) == 1
    assert one.capture.state.connected
    trigger = one.trigger()
    assert one.take().trigger is trigger


def test_a_camera_that_leaves_a_trigger_without_a_frame_is_replaced(side) -> None:
    one = side()
    one.sources[0].is_deaf = True
    first = one.trigger()
    one.until(lambda: one.sources[0].fired == 1)
    one.capture.check(time.monotonic_ns() + LATER_NS)
    one.until(lambda: len(one.sources) == 2 and one.capture.state.connected)
    assert one.capture.state.reconnects == 1
    one.capture._pairing.failed(first, "the camera was replaced")
    assert one.take().is_missing
    second = one.trigger()
    frame = one.take()
    assert (frame.trigger, frame.is_missing) == (second, False)
    assert one.sources[1].fired == 1


def test_a_trigger_for_a_lost_camera_is_an_error_at_once(side) -> None:
    one = side()
    one.sources[0].fire = lambda: (_ for _ in ()).throw(CameraUnavailable("top: unplugged"))
    trigger = one.trigger()
    frame = one.take()
    assert frame.trigger is trigger
    assert "top: unplugged" in frame.fault


def test_the_stop_gives_up_what_waits_and_refuses_the_rest(side) -> None:
    one = side()
    one.sources[0].is_deaf = True
    triggers = [one.trigger() for _ in range(3)]
    one.capture.stop()
    assert [one.take().trigger for _ in triggers] == triggers
    assert one.capture.request({}).code == "stopping"
    assert one.box.closed


def test_a_station_without_software_triggers_takes_none() -> None:
    camera = CameraSettings(source="test://conveyor?fps=50")
    trigger = TriggerSettings(by="interval", period_s=60)
    capture = TriggeredCapture(
        camera,
        trigger,
        triggered_source(camera, trigger),
        TriggerQueue(1, lambda: True),
        Mailbox("every", 2, DropCounts()),
        DropCounts(),
        on_refused=pytest.fail,
        on_change=lambda _: None,
    )
    assert capture.request({}) is None


def test_a_camera_without_inputs_has_no_hardware_trigger() -> None:
    camera = CameraSettings(source="v4l2:///dev/video0")
    with pytest.raises(ConfigError, match="needs a camera with inputs"):
        triggered_source(camera, TriggerSettings(by="hardware"))
