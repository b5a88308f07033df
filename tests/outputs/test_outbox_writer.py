"""The writer makes no inspection wait, keeps order, and survives an outbox that refuses."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from edge.config.mqtt import SpoolSettings
from edge.errors import PublishError
from edge.outputs import outbox_writer as writer_module
from edge.outputs.outbox import Outbox
from edge.outputs.outbox_writer import OutboxWriter
from edge.result import Verdict
from tests.support.brokers import wait_until
from tests.support.mqtt_results import make_payload


class GatedOutbox:
    """An outbox whose commits wait for a gate, or fail; remembers the size of each."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.is_full = False
        self.path = "outbox"
        self.commits: list[int] = []
        self.delivered: set[int] = set()
        self.held: list[int] = []
        self.seq = self.lost = self.settled = 0

    def number(self, payload):
        self.seq += 1
        return {**payload, "seq": self.seq}

    def append(self, payloads, *, settled=None, lost=None):
        assert self.gate.wait(5)
        if self.is_full:
            raise PublishError("the disk is full")
        self.commits.append(len(payloads))
        self.lost += sum((lost or {}).values())
        self.settled += sum((settled or {}).values())

    def hold(self, payloads, reason):
        self.held = [payload["seq"] for payload in payloads]

    def is_settled(self, seq):
        return seq in self.delivered


@pytest.fixture
def outbox():
    return GatedOutbox()


@pytest.fixture
def committed():
    return []


@pytest.fixture
def make_writer(outbox, committed, monkeypatch):
    monkeypatch.setattr(writer_module, "RETRY_S", 0.05)
    made = []

    def _make(target=outbox, on_committed=committed.append, **options):
        made.append(OutboxWriter(target, on_committed, **options))
        made[-1].start()
        return made[-1]

    yield _make
    outbox.gate.set()
    for writer in made:
        writer.stop(2)


def ids(payloads):
    return [payload["part"]["id"] for payload in payloads]


def test_results_are_committed_before_they_are_passed_on_in_order(make_writer, tmp_path):
    real = Outbox(tmp_path / "x.db", SpoolSettings())
    stored_when_passed_on = []
    writer = make_writer(real, lambda p: stored_when_passed_on.append((p["seq"], real.last_seq)))
    for i in range(200):
        writer.put(make_payload(f"p-{i}"))
    assert writer.flush(5)
    assert [seq for seq, _ in stored_when_passed_on] == list(range(1, 201))
    assert all(seq <= last for seq, last in stored_when_passed_on)
    assert writer.stop(2)
    real.close()


def test_what_waits_during_a_flush_goes_into_one_transaction(make_writer, outbox, committed):
    outbox.gate.clear()
    writer = make_writer()
    writer.put(make_payload("first"))
    wait_until(lambda: writer.waiting == 0)
    for i in range(50):
        writer.put(make_payload(f"p-{i}"))
    outbox.gate.set()
    assert writer.flush(5)
    assert outbox.commits == [1, 50]
    assert ids(committed) == ["first", *(f"p-{i}" for i in range(50))]


def test_put_does_not_wait_for_a_commit(make_writer, outbox):
    outbox.gate.clear()
    writer = make_writer()
    payload = make_payload()
    slowest_s = 0.0
    for _ in range(500):
        began = time.perf_counter()
        writer.put(payload)
        slowest_s = max(slowest_s, time.perf_counter() - began)
    assert slowest_s < 0.05  # the commit takes seconds
    assert not writer.flush(0.05)


def test_a_full_disk_delays_results_and_loses_none(make_writer, outbox, committed, caplog):
    outbox.is_full = True
    writer = make_writer()
    with caplog.at_level(logging.WARNING):
        for i in range(30):
            writer.put(make_payload(f"p-{i}"))
            time.sleep(0.01)
        time.sleep(0.2)
        assert committed == []
        outbox.is_full = False
        assert writer.flush(5)
    assert ids(committed) == [f"p-{i}" for i in range(30)]
    assert writer.lost_memory == 0
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2, "one line when it begins, one when it ends"
    assert "results wait in memory" in messages[0]
    assert "disk is full" in messages[0]


def test_when_memory_is_full_too_the_oldest_go_and_their_numbers_stay_a_gap(
    make_writer, outbox, committed
):
    outbox.is_full = True
    writer = make_writer(memory=10)
    for i in range(25):
        writer.put(make_payload(f"p-{i}", verdict=Verdict.PASS))
    assert writer.lost_memory == 15
    outbox.is_full = False
    assert writer.flush(5)
    assert ids(committed) == [f"p-{i}" for i in range(15, 25)]
    assert [payload["seq"] for payload in committed] == list(range(16, 26))


def test_results_delivered_from_memory_need_no_room_there(make_writer, outbox, committed):
    outbox.is_full = True
    writer = make_writer(memory=10)
    for first in range(1, 41, 8):
        for i in range(8):
            writer.put(make_payload(f"p-{first + i}"))
        wait_until(lambda last=first + 7: last in outbox.held, what="all of them are held")
        outbox.delivered.update(outbox.held)
    wait_until(lambda: len(committed) == 40, what="what was delivered is passed on")
    assert [payload["seq"] for payload in committed] == list(range(1, 41))
    assert writer.lost_memory == 0
    outbox.is_full = False
    assert writer.flush(5)
    assert (outbox.settled, outbox.lost, sum(outbox.commits)) == (40, 0, 0)


def test_a_real_outbox_recovers_when_there_is_room_again(make_writer, committed, tmp_path):
    real = Outbox(tmp_path / "x.db", SpoolSettings())
    (pages,) = real._tables._db.execute("PRAGMA page_count").fetchone()
    real._tables._db.execute(f"PRAGMA max_page_count = {pages}")
    writer = make_writer(real, memory=20)
    for i in range(30):
        writer.put(make_payload(f"{i}" * 10_000))  # not even one fits
    wait_until(lambda: writer._is_failing)
    assert sum(real.counts.values()) == 0
    with real._lock:
        real._tables._db.execute("PRAGMA max_page_count = 1000000")
    assert writer.flush(5)
    assert [row.seq for row in real.pending(0, 100)] == list(range(11, 31))
    assert sum(real.counts.values()) == 30
    assert (real.lost, real.last_seq, writer.lost_memory) == (10, 30, 10)
    writer.stop(1)
    real.close()


def test_stop_commits_what_waits(make_writer, outbox, committed):
    outbox.gate.clear()
    writer = make_writer()
    for i in range(20):
        writer.put(make_payload(f"p-{i}"))
    threading.Timer(0.1, outbox.gate.set).start()
    assert writer.stop(5)
    assert len(committed) == 20
    assert not writer._thread.is_alive()


def test_stop_gives_up_at_its_deadline_and_says_so(make_writer, outbox, caplog):
    outbox.is_full = True
    writer = make_writer()
    for _ in range(3):
        writer.put(make_payload())
    began = time.monotonic()
    assert not writer.stop(0.3)
    assert time.monotonic() - began < 2
    assert "results not stored count=3" in caplog.text


def test_a_fault_of_the_receiver_is_kept_and_storing_goes_on(make_writer, outbox):
    def fails(payload):
        raise BrokenPipeError("nobody reads")

    writer = make_writer(on_committed=fails)
    for _ in range(3):
        writer.put(make_payload())
        assert writer.flush(5)
    assert outbox.seq == 3
    assert isinstance(writer.error, BrokenPipeError)


def test_a_payload_that_cannot_be_stored_ends_the_writer_with_its_error(make_writer, tmp_path):
    real = Outbox(tmp_path / "x.db", SpoolSettings())
    writer = make_writer(real)
    writer.put({**make_payload(), "score": object()})
    wait_until(lambda: writer.error is not None)
    assert isinstance(writer.error, TypeError)
    assert not writer.stop(1)
    assert real.last_seq == 0
    real.close()


def test_stopping_what_never_started_is_allowed(outbox):
    assert OutboxWriter(outbox, print).stop(1)
