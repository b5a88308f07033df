"""While the disk is full an alert says so, results go out from memory, and no number is lost."""

from __future__ import annotations

import json

import pytest

from edge.outputs import outbox_writer
from edge.outputs.outbox import Outbox
from tests.mqtt.conftest import on_one_broker
from tests.support.brokers import wait_until
from tests.support.small_disk import small_file_system

pytestmark = on_one_broker


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch):
    monkeypatch.setattr(outbox_writer, "RETRY_S", 0.05)


@pytest.fixture
def listener(broker, listen):
    return listen(broker)


@pytest.fixture
def disk():
    """A file system of 1 MiB, which only root can make; it is full while `filler` is there."""
    yield from small_file_system("1m")


def fill(folder):
    with pytest.raises(OSError, match="No space"):
        (folder / "filler").write_bytes(b"x" * 2**20)


def limit(outbox, pages):
    """Let SQLite find the disk full beyond so many pages; works where nothing can be mounted."""
    with outbox._lock:
        outbox._tables._db.execute(f"PRAGMA max_page_count = {pages}")


def results(listener):
    return {m["seq"]: m for m in map(json.loads, (m.payload for m in listener.of("result")))}


def alerts(listener):
    found = [json.loads(m.payload) for m in listener.of("alert")]
    return [(a["code"], a["state"]) for a in found]


def order(listener):
    return [json.loads(m.payload)["seq"] for m in listener.of("result")]


def test_results_go_out_from_memory_while_the_disk_is_full(broker, make_station, listener, disk):
    station = make_station(broker, disk).start()
    station.wait_connected()
    station.judge(20)
    wait_until(lambda: len(results(listener)) == 20)
    fill(disk)
    station.judge(200)
    wait_until(lambda: len(results(listener)) == 220, 20, "all results without a disk")
    wait_until(lambda: ("outbox_failing", "raised") in alerts(listener), 10, "the alert")
    assert order(listener) == list(range(1, 221))
    (disk / "filler").unlink()
    station.judge(20)
    assert station.writer.flush(10)
    wait_until(lambda: len(results(listener)) == 240, 10, "results after that")
    wait_until(
        lambda: ("outbox_failing", "cleared") in alerts(listener), 10, "the end of the alert"
    )
    assert station.stop()
    assert (station.outbox.lost, station.writer.lost_memory) == (0, 0)
    assert sum(station.outbox.counts.values()) == station.outbox.last_seq == 240
    assert order(listener) == list(range(1, 241))


def test_more_results_go_out_than_memory_holds(broker, make_station, listener, tmp_path):
    station = make_station(broker, tmp_path)
    station.writer._memory = 100
    station.start()
    station.wait_connected()
    limit(station.outbox, 1)
    for count in range(40, 401, 40):
        station.judge(40, detail="x" * 5000)
        wait_until(lambda count=count: len(results(listener)) == count, 20, "all results")
        wait_until(lambda: station.outbox.unstored == 0, 20, "all of them known as delivered")
    assert station.writer.lost_memory == 0
    limit(station.outbox, 1_000_000)
    assert station.writer.flush(10)
    assert (station.outbox.lost, station.outbox.last_seq) == (0, 400)


def test_a_stop_with_a_full_disk_and_no_broker_leaves_a_gap_of_what_was_lost(
    broker, make_station, listener, tmp_path
):
    station = make_station(broker, tmp_path).start()
    station.wait_connected()
    station.judge(32)
    wait_until(lambda: len(results(listener)) == 32)
    wait_until(lambda: station.outbox.depth == 0)
    limit(station.outbox, 1)
    listener.expect_return()
    broker.kill()
    wait_until(lambda: not station.publisher.connected)
    station.judge(32, detail="x" * 200_000)
    station.writer.stop(0.3)
    lost = station.outbox.unstored
    path = station.outbox.path
    station.stop(0.5)
    assert lost == 32
    broker.start()
    listener.wait_connected()
    again = make_station(broker, tmp_path, boot_id="boot-2")
    assert isinstance(again.outbox, Outbox)
    assert again.outbox.path == path
    assert str(again.outbox.continuity) == "numbers 33..64 were not stored: 32 results lost"
    again.start()
    again.wait_connected()
    again.judge(1)
    wait_until(lambda: 65 in results(listener), 10, "the next number")
    wait_until(lambda: ("outbox_gap", "raised") in alerts(listener), 10, "the alert")
    counters = json.loads(listener.of("counters")[-1].payload)
    assert (counters["lost"], counters["unaccounted"]) == (32, 32)
    assert again.stop()


def test_expiry_is_shorter_by_the_time_that_a_result_waited(
    broker, make_station, listener, tmp_path
):
    station = make_station(broker, tmp_path, result_expiry_s=100_000)
    station.judge(1)
    station.writer.start()
    assert station.writer.flush(5)
    station.outbox._tables.clock.offset_s += 40_000
    (row,) = station.outbox.pending(0, 10)
    delivery = station.publisher._results._delivery.aged(row.age_s)
    assert 59_000 < delivery.expiry_s <= 60_000
    assert station.publisher._results._delivery.aged(1e9).expiry_s == 3600
    station.publisher.start()
    wait_until(lambda: len(results(listener)) == 1)
