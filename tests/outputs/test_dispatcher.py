"""Every sink hears of every result at both moments, whatever the others do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.config.mqtt import SpoolSettings
from edge.drop_counts import DropCounts
from edge.errors import ConfigError
from edge.messages.payload import Payload
from edge.outputs.callbacks import CommitSignal, ResultCallback
from edge.outputs.dispatcher import ResultDispatcher
from edge.outputs.outbox import Outbox
from edge.outputs.sink import Decided, ResultSink
from tests.support.sinks import Gate, RecordingSink, describe, make_decided, part_of

PARTS = [f"p-{i}" for i in range(20)]


class Made:
    """A dispatcher on a real outbox."""

    def __init__(self, folder: Path):
        self.drops = DropCounts()
        self.outbox = Outbox(folder / "x.db", SpoolSettings())
        self.results = ResultDispatcher([], self.outbox, describe, self.drops)

    def start(self, *sinks: ResultSink) -> ResultDispatcher:
        self.results = ResultDispatcher(sinks, self.outbox, describe, self.drops)
        self.results.start()
        return self.results

    def deliver(self, parts: list[str] = PARTS) -> None:
        for part in parts:
            self.results.decided(make_decided(part))
        assert self.results.writer.flush(30)

    @property
    def stored(self) -> int:
        return self.outbox.depth


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    made = Made(tmp_path)
    yield made
    made.results.stop(5)
    made.outbox.close()


def test_every_verdict_reaches_the_sinks_in_the_order_of_the_list(made: Made) -> None:
    heard: list[tuple[str, str, str]] = []
    made.start(RecordingSink("gpio", heard), RecordingSink("archive", heard))
    made.deliver()
    for moment in ("decided", "committed"):
        expected = [(name, moment, part) for part in PARTS for name in ("gpio", "archive")]
        assert [entry for entry in heard if entry[1] == moment] == expected


class WhatIsStored(ResultSink):
    """Notes at both moments how many results the outbox holds, and the parts' own numbers."""

    name = "stored"

    def __init__(self, outbox: Outbox):
        self._outbox = outbox
        self.at_verdict: list[int] = []
        self.at_commit: list[tuple[int, bool]] = []

    def decided(self, decided: Decided) -> None:
        self.at_verdict.append(self._outbox.last_seq)

    def committed(self, payload: Payload) -> None:
        rows = {row.seq: row.payload for row in self._outbox.pending(0, 100)}
        self.at_commit.append((payload["seq"], payload["msg_id"] in rows.get(payload["seq"], "")))


def test_a_verdict_comes_before_its_commit_and_a_commit_after_the_row(made: Made) -> None:
    sink = WhatIsStored(made.outbox)
    made.start(sink)
    for part in ("a", "b", "c"):
        made.deliver([part])
    assert sink.at_verdict == [0, 1, 2], "the outbox gets the result after the sinks"
    assert sink.at_commit == [(1, True), (2, True), (3, True)]


def test_a_verdict_does_not_wait_for_the_disk(made: Made) -> None:
    sink = RecordingSink("gpio")
    results = made.start(sink)
    with made.outbox._lock:  # the commit cannot begin
        for part in PARTS:
            results.decided(make_decided(part))
        assert sink.heard[1:] == [("gpio", "decided", part) for part in PARTS]
    assert results.writer.flush(30)
    assert made.stored == len(PARTS)


@pytest.mark.parametrize("moment", ["decided", "committed"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_broken_sink_costs_nobody_else_a_part(
    made: Made, caplog: pytest.LogCaptureFixture, moment: str, place: int
) -> None:
    healthy = RecordingSink("healthy")
    sinks = [healthy, RecordingSink("broken", broken=(moment,))]
    made.start(*(sinks if place else reversed(sinks)))
    with caplog.at_level(logging.INFO):
        made.deliver()
    for each in ("decided", "committed"):
        assert [part for _, what, part in healthy.heard if what == each] == PARTS
    assert made.stored == len(PARTS)
    assert made.results.writer.error is None
    assert made.drops.snapshot() == {("broken", "failed"): len(PARTS)}
    (line,) = caplog.messages
    assert "broken" in line
    assert moment in line
    assert "ConnectionError: broken is broken" in line
    assert "Traceback" not in caplog.text


def test_another_kind_of_failure_is_logged_too(
    made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    errors = [OSError("first"), OSError("again"), ValueError("other")]

    def fail() -> None:
        raise errors.pop(0)

    made.start(CommitSignal("signal", fail))
    made.deliver(["a", "b", "c"])
    assert made.drops.snapshot() == {("signal", "failed"): 3}
    assert [line.rsplit(": ", 1)[1] for line in caplog.messages] == ["first", "other"]


def test_a_blocked_callback_delays_neither_verdicts_nor_the_outbox_nor_other_sinks(
    made: Made,
) -> None:
    gate, other = Gate(), RecordingSink("other")
    received: list[str] = []

    def slow(payload: Payload) -> None:
        gate()
        received.append(part_of(payload))

    results = made.start(ResultCallback(slow, made.drops), other)
    made.deliver()
    assert gate.has_begun.wait(30)
    assert [part for _, what, part in other.heard if what == "decided"] == PARTS
    assert [part for _, what, part in other.heard if what == "committed"] == PARTS
    assert made.stored == len(PARTS)
    assert received == []
    gate.opened.set()
    assert results.stop(30) == []
    assert received == PARTS
    assert made.drops.snapshot() == {}


def test_a_payload_that_cannot_be_made_is_no_matter_of_a_sink(made: Made, tmp_path: Path) -> None:
    def fail(_: Decided) -> Payload:
        raise ValueError("no payload")

    results = ResultDispatcher([], made.outbox, fail, made.drops)
    with pytest.raises(ValueError, match="no payload"):
        results.decided(make_decided())


def test_an_output_that_cannot_start_ends_the_start(made: Made) -> None:
    class Absent(RecordingSink):
        def start(self) -> None:
            raise ConfigError("no such output")

    with pytest.raises(ConfigError, match="no such output"):
        made.start(Absent("gpio"))


def test_stop_stores_what_waits_then_stops_the_sinks_in_order(made: Made) -> None:
    heard: list[tuple[str, str, str]] = []
    results = made.start(RecordingSink("first", heard), RecordingSink("second", heard))
    for part in PARTS:
        results.decided(make_decided(part))
    assert results.stop(30) == []
    assert made.stored == len(PARTS)
    committed = [part for name, what, part in heard if (name, what) == ("second", "committed")]
    assert committed == PARTS
    assert heard[-2:] == [("first", "stop", ""), ("second", "stop", "")]


def test_stop_names_what_did_not_end_and_goes_on(
    made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    stuck, broken = RecordingSink("stuck"), RecordingSink("broken", broken=("stop",))
    stuck.ends = False
    last = RecordingSink("last")
    results = made.start(stuck, broken, last)
    assert results.stop(6) == ["stuck"]
    assert ("last", "stop", "") in last.heard
    assert "output failed output=broken moment=stop" in caplog.text


def test_the_time_to_stop_is_shared(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outbox may use half; what it does not use goes to the sinks, a share for each."""
    now = 100.0
    monkeypatch.setattr("edge.outputs.dispatcher.time.monotonic", lambda: now)
    sinks = [RecordingSink(name) for name in ("first", "second", "third")]
    results = ResultDispatcher(sinks, made.outbox, describe, made.drops)
    limits_s = []

    def stop(timeout_s: float) -> bool:
        nonlocal now
        limits_s.append(timeout_s)
        now += timeout_s  # it uses all of its time
        return True

    results.writer.stop = stop  # type: ignore[method-assign]
    sinks[0].stop = stop  # type: ignore[method-assign]
    sinks[2].stop = stop  # type: ignore[method-assign]
    results.stop(6.0)
    assert limits_s == pytest.approx([3.0, 1.0, 2.0])
    assert sinks[1].limits_s == pytest.approx([1.0])
    limits_s.clear()
    results.stop(0.0)
    assert min(limits_s[1:]) > 0, "a thread that is done still gets a moment to end"


def test_room_is_waited_for_within_one_limit(made: Made) -> None:
    class Full(RecordingSink):
        has_room = threading.Event()

        def wait_for_room(self, timeout_s: float) -> bool:
            self.limits_s.append(timeout_s)
            return self.has_room.is_set()

    full = Full("full")
    results = made.start(RecordingSink("other"), full)
    assert not results.wait_for_room(0.5)
    full.has_room.set()
    assert results.wait_for_room(0.5)
    assert all(0 <= limit_s <= 0.5 for limit_s in full.limits_s)
