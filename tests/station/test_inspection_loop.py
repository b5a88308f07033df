"""Which frames become results, what each output gets, and what an abort keeps back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edge.cameras.source import frame_now
from edge.config.mqtt import SpoolSettings
from edge.config.trigger import TriggerSettings
from edge.drop_counts import DropCounts
from edge.frame import Frame, Part
from edge.outputs.dispatcher import ResultDispatcher
from edge.outputs.outbox import Outbox
from edge.outputs.sink import Decided, ResultSink
from edge.result import Reason, Verdict
from edge.station import inspection_loop
from edge.station.capture.mailbox import Mailbox
from edge.station.commands.jobs import JobControl
from edge.station.inspection_loop import InspectionLoop
from edge.triggers.queue import TriggerQueue
from edge.triggers.source import TriggerMaker
from tests.support.mqtt_results import MODEL, make_inspection
from tests.support.sinks import describe

MAP = np.ones((4, 4), np.float32)


class Kept(ResultSink):
    """Keeps what it is told."""

    name = "kept"

    def __init__(self) -> None:
        self.decided_parts: list[Decided] = []
        self.has_room = True

    def decided(self, decided: Decided) -> None:
        self.decided_parts.append(decided)

    def wait_for_room(self, timeout_s: float) -> bool:
        return self.has_room


class Made:
    """A loop over an inspector that passes every part; `during` runs in the midst of one."""

    def __init__(self, folder: Path):
        self.drops = DropCounts()
        self.mailbox = Mailbox("every", 8, self.drops)
        self.outbox = Outbox(folder / "x.db", SpoolSettings())
        self.sink = Kept()
        self.results = ResultDispatcher([self.sink], self.outbox, describe, self.drops)
        self.jobs = JobControl(
            self.mailbox, self.drops, on_change=lambda: None, finish=lambda *_: None
        )
        self.during = lambda: None
        prepared = SimpleNamespace(
            models=lambda first: {first: MODEL}, of=lambda _: prepared, inspector=self
        )
        self.changeover = SimpleNamespace(current=prepared, recipe_for=lambda _: prepared)
        self.loop = self.make_loop(is_live=True)

    def make_loop(self, *, is_live: bool) -> InspectionLoop:
        return InspectionLoop(
            self.mailbox, self.changeover, self.jobs, self.drops, self.results, is_live=is_live
        )  # fmt: skip

    def inspect(self, frame: Frame):
        self.during()
        part = frame.part.id if frame.part else "none"
        return make_inspection(part, frame_id=frame.frame_id, verdict=Verdict.PASS), MAP

    def put(self, number: int = 0) -> Frame:
        frame = frame_now("top", number, np.zeros((2, 2, 3), np.uint8), part=Part("p", "file"))
        self.mailbox.put(frame, wait=False)
        return frame

    @property
    def stored(self) -> int:
        return self.outbox.depth + self.results.writer.waiting


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    monkeypatch.setattr(inspection_loop, "TAKE_S", 0.01)
    made = Made(tmp_path)
    yield made
    made.results.stop(5)
    made.outbox.close()


def test_a_result_holds_what_the_outputs_need(made: Made) -> None:
    frame = made.put(5)
    assert made.loop.step()
    (decided,) = made.sink.decided_parts
    assert decided.frame is frame
    assert decided.anomaly_map is MAP
    assert decided.inspection.frame_id == 5
    assert decided.model is MODEL
    assert (decided.job_id, decided.triggered_at) == (None, None)
    assert made.stored == 1


def test_the_job_of_a_part_travels_with_it(made: Made) -> None:
    made.jobs.stop()
    assert made.jobs.start_continuous("shift-2")
    made.put()
    made.loop.step()
    assert made.sink.decided_parts[0].job_id == "shift-2"


def test_the_result_of_an_aborted_job_reaches_no_output(made: Made) -> None:
    made.during = lambda: made.jobs.abort("aborted by command")
    made.put()
    made.loop.step()
    assert made.sink.decided_parts == []
    assert made.stored == 0
    assert made.drops.snapshot() == {("line", "aborted"): 1}


def test_a_refused_part_gets_its_result_without_a_map(made: Made) -> None:
    frame = made.put()
    made.loop.refused(frame)
    (decided,) = made.sink.decided_parts
    assert decided.inspection.verdict is Verdict.UNDECIDED
    assert decided.inspection.reason is Reason.OVERRUN
    assert decided.anomaly_map is None
    assert decided.frame is frame
    assert made.stored == 1


def test_a_frame_that_came_before_is_never_judged(made: Made) -> None:
    frame = replace(made.put(), is_repeat=True)
    made.mailbox.clear()
    made.mailbox.put(frame, wait=False)
    assert made.loop.step()
    (decided,) = made.sink.decided_parts
    found = decided.inspection
    assert (found.verdict, found.reason) == (Verdict.UNDECIDED, Reason.REPEATED_FRAME)
    assert found.score is None
    assert "delivered this very picture before; check the camera" in found.detail
    assert decided.frame is frame


def test_files_wait_for_an_output_without_room(made: Made) -> None:
    loop = made.make_loop(is_live=False)
    made.sink.has_room = False
    made.put()
    assert loop.step()
    assert made.sink.decided_parts == []
    made.sink.has_room = True
    assert loop.step()
    assert len(made.sink.decided_parts) == 1


def test_a_live_camera_waits_for_no_output(made: Made) -> None:
    made.sink.has_room = False
    made.put()
    made.loop.step()
    assert len(made.sink.decided_parts) == 1


def test_frames_that_no_job_wants_are_counted(made: Made) -> None:
    made.jobs.stop()
    made.put()
    assert made.loop.step()
    made.loop.refused(made.put())
    assert made.sink.decided_parts == []
    assert made.drops.snapshot() == {("line", "stopped"): 2}


def test_the_end_of_the_frames_ends_the_loop(made: Made) -> None:
    made.put()
    made.mailbox.close()
    assert made.loop.step()
    assert not made.loop.step()


def test_a_trigger_has_one_result_however_many_ways_lead_to_one(made: Made) -> None:
    queue = TriggerQueue(4, lambda: True)
    loop = InspectionLoop(
        made.mailbox, made.changeover, made.jobs, made.drops, made.results,
        is_live=True, triggers=queue,
    )  # fmt: skip
    settings = TriggerSettings(by="hardware", deadline_ms=600_000)
    trigger = TriggerMaker(settings, lambda: "t1").make("hardware")
    assert queue.offer(trigger) is None
    frame = replace(made.put(), trigger=trigger)
    made.mailbox.clear()
    made.mailbox.put(frame, wait=False)
    made.during = lambda: loop.give_up_triggers("top", "the station was stopped")
    assert loop.step()
    loop.refused(frame)
    loop.dropped([frame])
    (decided,) = made.sink.decided_parts
    assert decided.inspection.reason is Reason.NOT_JUDGED
    assert decided.frame.trigger is trigger
    assert not decided.is_late
