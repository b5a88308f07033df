"""A slow output works in its own thread: nobody waits for it, and what it misses is counted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from edge.drop_counts import DropCounts
from edge.outputs import queued_sink
from edge.outputs.queued_sink import QueuedSink
from tests.support.brokers import wait_until
from tests.support.sinks import Gate

SIZE = 4


class Made(QueuedSink):
    def __init__(self) -> None:
        self.counts = DropCounts()
        self.done: list[int] = []
        self.gate = Gate()
        super().__init__("slow", self.counts, size=SIZE)

    def fill(self) -> None:
        """Occupy the thread, then the whole queue."""
        self.later(self.gate)
        assert self.gate.has_begun.wait(30)
        self.put(*range(SIZE))

    def put(self, *numbers: int) -> None:
        for number in numbers:
            self.later(partial(self.done.append, number))


@pytest.fixture
def sink() -> Iterator[Made]:
    made = Made()
    yield made
    made.gate.opened.set()
    made.stop(30)


def test_tasks_are_done_in_order_in_a_thread_of_its_own(sink: Made) -> None:
    threads: list[str] = []
    sink.start()
    sink.later(lambda: threads.append(threading.current_thread().name))
    sink.put(1, 2, 3)
    assert sink.stop(30)
    assert sink.done == [1, 2, 3]
    assert threads == ["slow"]
    assert sink.counts.snapshot() == {}


def test_what_finds_the_queue_full_is_dropped_and_counted(sink: Made) -> None:
    sink.start()
    sink.fill()
    sink.put(90, 91, 92)  # returns although the thread is blocked
    assert sink.counts.snapshot() == {("slow", "overrun"): 3}
    sink.gate.opened.set()
    assert sink.stop(30)
    assert sink.done == list(range(SIZE))
    assert sink.counts.snapshot() == {("slow", "overrun"): 3}


def test_a_task_that_raises_is_counted_and_the_next_is_done(sink: Made) -> None:
    sink.start()
    sink.later(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    sink.put(1)
    assert sink.stop(30)
    assert sink.done == [1]
    assert sink.counts.snapshot() == {("slow", "failed"): 1}


def test_stop_is_bounded_and_counts_what_it_leaves(sink: Made) -> None:
    sink.start()
    sink.fill()
    assert not sink.stop(0.05), "its thread is blocked"
    assert sink.counts.snapshot() == {("slow", "stopped"): SIZE + 1}
    sink.gate.opened.set()
    wait_until(lambda: not sink._thread.is_alive(), 30, "the end of the thread")
    assert sink.done == [], "what was counted as dropped is not done after all"


def test_after_the_stop_everything_is_counted(sink: Made) -> None:
    sink.start()
    assert sink.stop(30)
    sink.put(1, 2)
    assert sink.done == []
    assert sink.counts.snapshot() == {("slow", "stopped"): 2}


def test_stopping_what_never_started_counts_what_waits(sink: Made) -> None:
    sink.put(1, 2)
    assert sink.stop(1)
    assert sink.counts.snapshot() == {("slow", "stopped"): 2}


def test_room_means_that_half_of_the_queue_is_free(sink: Made) -> None:
    sink.put(*range(SIZE // 2))
    assert sink.wait_for_room(0)
    sink.put(9)
    assert not sink.wait_for_room(0)
    results: list[bool] = []
    waiter = threading.Thread(target=lambda: results.append(sink.wait_for_room(30)))
    waiter.start()
    sink.start()
    waiter.join(30)
    assert results == [True], "whoever waits is woken when the thread works the queue off"


def test_an_output_that_has_hung_is_not_waited_for(
    sink: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(queued_sink, "monotonic", lambda: now)
    sink.start()
    sink.fill()
    now += queued_sink.HUNG_S
    assert not sink.wait_for_room(0)
    now += 0.1
    assert sink.wait_for_room(0), "the source goes on, and its parts are dropped and counted"
    sink.gate.opened.set()
    assert sink.stop(30)
    assert sink.done == list(range(SIZE))
