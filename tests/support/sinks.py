"""Results and sinks for tests of everything that outputs do."""

from __future__ import annotations

import threading
from datetime import datetime, timezone

import numpy as np

from edge.cameras.source import frame_now
from edge.messages.payload import Payload
from edge.messages.result_payload import result_payload
from edge.outputs.sink import Decided, ResultSink
from tests.support.mqtt_results import IDENTITY, MODEL, make_inspection

TRIGGERED = datetime(2026, 11, 21, 10, 15, 1, tzinfo=timezone.utc)


def make_decided(part_id: str = "p-1", job_id: str | None = None, **changes) -> Decided:
    """A part with its verdict; with `job_id` it is the part of a single job."""
    frame = frame_now("top", 7, np.full((48, 64, 3), 90, np.uint8))
    anomaly_map = np.full((24, 32), 0.25, np.float32)
    triggered_at = None if job_id is None else TRIGGERED
    inspection = make_inspection(part_id, **changes)
    return Decided(inspection, frame, anomaly_map, MODEL, job_id, triggered_at)


def describe(decided: Decided) -> Payload:
    return result_payload(
        decided.inspection,
        IDENTITY,
        decided.model,
        job_id=decided.job_id,
        triggered_at=decided.triggered_at,
    )


def part_of(result: Decided | Payload) -> str:
    if isinstance(result, Decided):
        assert result.inspection.part is not None
        return result.inspection.part.id
    return result["part"]["id"]


class RecordingSink(ResultSink):
    """Writes what it hears into a list that may be shared: (name, moment, part).

    `broken` names the moments that raise.
    """

    def __init__(self, name: str, heard: list | None = None, broken: tuple[str, ...] = ()):
        self.name = name
        self.heard = [] if heard is None else heard
        self.broken = broken
        self.ends = True
        self.limits_s: list[float] = []

    def start(self) -> None:
        self._note("start")

    def decided(self, decided: Decided) -> None:
        self._note("decided", part_of(decided))

    def committed(self, payload: Payload) -> None:
        self._note("committed", part_of(payload))

    def stop(self, timeout_s: float) -> bool:
        self.limits_s.append(timeout_s)
        self._note("stop")
        return self.ends

    def _note(self, moment: str, part: str = "") -> None:
        self.heard.append((self.name, moment, part))
        if moment in self.broken:
            raise ConnectionError(f"{self.name} is broken")


class Gate:
    """A task that blocks until it is opened, and tells when it has begun."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.opened = threading.Event()

    def __call__(self, *_: object) -> None:
        self.has_begun.set()
        assert self.opened.wait(30)
