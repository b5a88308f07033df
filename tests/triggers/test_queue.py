"""The ledger: what is taken, what is refused, and one result each."""

from __future__ import annotations

import threading

import pytest

from edge.config.trigger import TriggerSettings
from edge.trigger import Trigger
from edge.triggers.queue import REMEMBERED, TriggerQueue
from edge.triggers.source import TriggerMaker


class Ids:
    def __init__(self) -> None:
        self.given = 0

    def __call__(self) -> str:
        self.given += 1
        return f"t{self.given}"


@pytest.fixture
def make():
    return TriggerMaker(TriggerSettings(by="software", deadline_ms=50), Ids()).make


def codes(queue: TriggerQueue, *triggers: Trigger) -> list[str | None]:
    return [refusal.code if (refusal := queue.offer(each)) else None for each in triggers]


def test_one_is_under_way_n_wait_and_the_next_is_refused(make) -> None:
    queue = TriggerQueue(2, lambda: True)
    offered = [make("software") for _ in range(4)]
    assert codes(queue, *offered) == [None, None, None, "not_ready"]
    assert queue.settle(offered[0])
    assert codes(queue, make("software")) == [None]
    assert (queue.counts["taken"], queue.counts["refused"]) == (4, 1)


def test_a_trigger_has_one_result_whoever_comes_first(make) -> None:
    queue = TriggerQueue(0, lambda: True)
    trigger = make("software")
    assert not queue.settle(trigger)
    queue.offer(trigger)
    start, won = threading.Barrier(8), []

    def claim() -> None:
        start.wait()
        if queue.settle(trigger):
            won.append(1)

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [1]
    assert queue.open == ()


def test_an_id_is_used_once_even_after_its_result(make) -> None:
    queue = TriggerQueue(9, lambda: True)
    trigger = make("software", trigger_id="a")
    assert codes(queue, trigger, make("software", trigger_id="a")) == [None, "used"]
    queue.settle(trigger)
    assert codes(queue, make("software", trigger_id="a")) == ["used"]


def test_a_refused_id_may_come_again(make) -> None:
    queue = TriggerQueue(0, lambda: True)
    first, second = make("software"), make("software", trigger_id="b")
    assert codes(queue, first, second) == [None, "not_ready"]
    queue.settle(first)
    assert codes(queue, second) == [None]


def test_the_memory_of_ids_is_bounded(make) -> None:
    queue = TriggerQueue(0, lambda: True)
    for _ in range(REMEMBERED + 50):
        trigger = make("software")
        queue.offer(trigger)
        queue.settle(trigger)
    assert len(queue._used) == REMEMBERED


def test_nothing_is_taken_while_nothing_is_judged_or_at_the_end(make) -> None:
    judging = [False]
    queue = TriggerQueue(1, lambda: judging[0])
    assert codes(queue, make("software")) == ["not_judging"]
    judging[0] = True
    trigger = make("software")
    assert codes(queue, trigger) == [None]
    queue.close()
    assert codes(queue, make("software")) == ["stopping"]
    assert queue.open == (trigger,)
    assert queue.settle(trigger)


def test_a_picture_that_is_taken_already_is_not_refused_for_a_full_queue(make) -> None:
    queue = TriggerQueue(0, lambda: True)
    assert queue.offer(make("hardware"), is_refusable=False) is None
    assert queue.offer(make("hardware"), is_refusable=False) is None


def test_a_deadline_counts_from_the_trigger(make) -> None:
    trigger = make("software")
    assert not trigger.is_late(trigger.at_ns + 50_000_000)
    assert trigger.is_late(trigger.at_ns + 50_000_001)
    earlier = make("hardware", at_ns=trigger.at_ns - 2_000_000_000)
    assert 1.9 < (trigger.at - earlier.at).total_seconds() < 2.1
    without = TriggerMaker(TriggerSettings(by="hardware"), Ids()).make("hardware")
    assert not without.is_late(10**30)
