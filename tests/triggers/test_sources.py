"""Clock and encoder as sources of triggers, and the features that arm a camera."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from edge.config.camera import CameraSettings
from edge.config.trigger import TriggerSettings
from edge.errors import ConfigError
from edge.trigger import Trigger
from edge.triggers.encoder import CountFile, EncoderTriggers
from edge.triggers.hardware import armed
from edge.triggers.interval import IntervalTriggers
from edge.triggers.source import NotTaken, TriggerMaker

MAKER = TriggerMaker(TriggerSettings(by="interval", period_s=1), lambda: "id")
LIMIT_S = 30


class Taken:
    """Takes triggers, and lets a test wait for them."""

    def __init__(self, hold_s: float = 0.0):
        self.all: list[Trigger] = []
        self.hold_s = hold_s

    def __call__(self, trigger: Trigger) -> NotTaken | None:
        self.all.append(trigger)
        time.sleep(self.hold_s)
        return None

    def wait(self, count: int) -> None:
        end = time.monotonic() + LIMIT_S
        while len(self.all) < count:
            assert time.monotonic() < end, f"only {len(self.all)} triggers came"
            time.sleep(0.002)


def test_a_clock_triggers_and_stops() -> None:
    source, taken = IntervalTriggers(0.005, MAKER), Taken()
    source.start(taken)
    taken.wait(5)
    assert source.stop(LIMIT_S)
    count = len(taken.all)
    time.sleep(0.03)
    assert len(taken.all) == count
    times = [trigger.at_ns for trigger in taken.all]
    assert times == sorted(times)
    assert times[4] - times[0] >= 3 * 5_000_000  # no burst, however late the first one was
    assert {trigger.source for trigger in taken.all} == {"interval"}


def test_a_clock_that_was_held_up_gives_no_burst() -> None:
    source, taken = IntervalTriggers(0.01, MAKER), Taken(hold_s=0.1)
    source.start(taken)
    taken.wait(4)
    assert source.stop(LIMIT_S)
    gaps = [b.at_ns - a.at_ns for a, b in zip(taken.all, taken.all[1:], strict=False)]
    assert min(gaps) >= 100_000_000


class Belt:
    """A counter that a test moves; each reading is one step."""

    def __init__(self, *counts: int | Exception):
        self.counts = list(counts)
        self.is_over = threading.Event()

    def read(self) -> int:
        if len(self.counts) == 1:
            self.is_over.set()
        count = self.counts[0] if len(self.counts) == 1 else self.counts.pop(0)
        if isinstance(count, Exception):
            raise count
        return count


def run(belt: Belt, distance: int = 10) -> int:
    source, taken = EncoderTriggers(belt, distance, MAKER, poll_s=0.0001), Taken()
    source.start(taken)
    assert belt.is_over.wait(LIMIT_S)
    assert source.stop(LIMIT_S)
    assert {trigger.source for trigger in taken.all} <= {"encoder"}
    return len(taken.all)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((0, 9, 9), 0),
        ((0, 10, 10), 1),
        ((0, 9, 35, 35), 3),
        ((100, 105, 110, 110), 1),
        ((0, 10, 3, 11, 19, 19), 1),
        ((0, 25, -50, 25, 30, 30), 3),
        ((0, OSError("gone"), 10, ValueError("x"), 20, 20), 2),
        ((0, 10, 10**9, 10**9 + 10, 10**9 + 10), 2),
    ],
    ids=["still", "one", "several", "offset", "back and forth", "reverse", "unread", "jump"],
)
def test_each_distance_forward_is_one_trigger(counts, expected: int) -> None:
    assert run(Belt(*counts)) == expected


def test_counts_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_text("-12\n")
    assert CountFile(path).read() == -12
    path.write_text("many")
    with pytest.raises(ConfigError, match="expected a file with a whole number"):
        EncoderTriggers(CountFile(path), 10, MAKER).start(Taken())
    with pytest.raises(ConfigError, match="expected a file with a whole number"):
        EncoderTriggers(CountFile(tmp_path / "none"), 10, MAKER).start(Taken())


def camera(source: str, **features: object) -> CameraSettings:
    return CameraSettings.model_validate({"source": source, "features": features})


def test_a_hardware_trigger_arms_the_camera() -> None:
    trigger = TriggerSettings(
        by="hardware", line="Line3", activation="FallingEdge", delay_ms=1.5, strobe_line="Line2"
    )
    features = armed(camera("genicam://1234", ExposureTime=800), trigger).features
    assert features == {
        "ExposureTime": 800,
        "LineSelector": "Line2",
        "LineMode": "Output",
        "LineSource": "ExposureActive",
        "TriggerSelector": "FrameStart",
        "TriggerMode": "On",
        "TriggerSource": "Line3",
        "TriggerActivation": "FallingEdge",
        "TriggerDelay": 1500.0,
    }


def test_other_triggers_arm_it_for_themselves() -> None:
    free = camera("genicam://1")
    assert armed(free, TriggerSettings()) is free
    for by in ({"by": "software"}, {"by": "interval", "period_s": 1}):
        features = armed(free, TriggerSettings.model_validate(by)).features
        assert features["TriggerMode"] == "On"
        assert features["TriggerSource"] == "Software"
    encoder = TriggerSettings(
        by="encoder", every_mm=50, mm_per_count=0.1, encoder_lines=("Line4", "Line5")
    )
    features = armed(free, encoder).features
    assert features["EncoderDivider"] == 500
    assert (features["EncoderSourceA"], features["EncoderSourceB"]) == ("Line4", "Line5")
    assert features["TriggerSource"] == features["EncoderSelector"] == "Encoder0"


@pytest.mark.parametrize(
    ("source", "trigger", "features", "problem"),
    [
        ("v4l2:///dev/video0", {"by": "hardware"}, {}, "needs a camera with inputs"),
        ("file:///parts", {"by": "encoder", "every_mm": 1, "mm_per_count": 1}, {}, "inputs"),
        ("rtsp://host/x", {"by": "software", "strobe_line": "Line1"}, {}, "have no outputs"),
        ("genicam://1", {"by": "hardware"}, {"TriggerMode": "Off"}, "TriggerMode follows from"),
    ],
)
def test_what_a_camera_cannot_do_is_refused(source, trigger, features, problem) -> None:
    with pytest.raises(ConfigError, match=problem):
        armed(camera(source, **features), TriggerSettings.model_validate(trigger))
