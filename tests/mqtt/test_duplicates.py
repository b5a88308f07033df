"""Two stations with one client id or one name are recognised, and do not fight."""

from __future__ import annotations

import json

import pytest

from edge.messages.message import Message
from edge.messages.payload import encode, status_payload
from edge.messages.state_board import StateBoard
from edge.mqtt import duplicates as duplicates_module
from edge.mqtt.duplicates import CODE, DuplicateWatch
from edge.mqtt.reconnection import Reconnection
from tests.mqtt.conftest import on_one_broker
from tests.support.brokers import wait_until
from tests.support.mqtt_results import IDENTITY


def alert_of(station):
    return station.states._active.get(CODE)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_two_stations_of_one_name_both_name_the_other(
    mosquitto, make_station, tmp_path, listen, protocol
):
    listener = listen(mosquitto)
    stations = []
    for number in (1, 2):
        (tmp_path / f"s{number}").mkdir()
        stations.append(
            make_station(
                mosquitto, folder=f"s{number}", boot_id=f"boot-{number}", protocol=protocol,
                client_id=f"client-{number}",
            ).start()
        )  # fmt: skip
        stations[-1].wait_connected()
    for station, other in zip(stations, ("boot-2", "boot-1"), strict=True):
        wait_until(lambda station=station: alert_of(station), 10, "an alert")
        assert f"boot_id {other}" in alert_of(station)["detail"]
        assert "host " in alert_of(station)["detail"]
    wait_until(lambda: [m for m in listener.of("alert") if CODE.encode() in m.payload])
    assert stations[1].stop()
    wait_until(lambda: alert_of(stations[0]) is None, 10, "the end of the alert")
    wait_until(lambda: b"boot-1" in listener.of("status")[-1].payload)
    listener.wait_status("online")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_two_processes_with_one_client_id_are_told(mosquitto, make_station, tmp_path, protocol):
    (tmp_path / "other").mkdir()
    first = make_station(mosquitto, client_id="same", protocol=protocol).start()
    first.wait_connected()
    second = make_station(
        mosquitto, client_id="same", protocol=protocol, boot_id="boot-2", folder="other"
    ).start()
    # Mosquitto 2.0 closes the connection without a reason: what stands on the status topic tells.
    wait_until(lambda: alert_of(first), 10, "an alert")
    assert "boot_id boot-2" in alert_of(first)["detail"]
    second.stop()


@on_one_broker
def test_a_station_that_comes_back_is_no_duplicate(broker, make_station, tmp_path):
    for number in range(3):
        station = make_station(broker, boot_id=f"boot-{number}").start()
        station.wait_connected()
        wait_until(lambda station=station: station.publisher.stats["delivery"] == "proven")
        station.publisher._link.drop() if number == 1 else None
        assert alert_of(station) is None
        station.stop()


@pytest.fixture
def board():
    return StateBoard(IDENTITY)


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(duplicates_module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def watch(board, clock):
    return DuplicateWatch(IDENTITY, "me", board)


def status(state, boot_id=IDENTITY.boot_id, *, is_stored=False):
    payload = {**status_payload(IDENTITY, state, "1", "box-7"), "boot_id": boot_id}
    return Message("status", encode(payload).encode(), is_stored)


def codes(board):
    return list(board._active)


def test_what_an_earlier_run_left_at_the_broker_is_no_duplicate(watch, board):
    watch.hear(status("online", "old", is_stored=True))
    watch.hear(status("online"))
    assert codes(board) == []
    assert not watch.owes_status()


def test_the_late_will_of_an_earlier_run_is_answered_and_is_no_duplicate(watch, board):
    watch.hear(status("online"))
    watch.hear(status("lost", "old"))
    assert codes(board) == []
    assert watch.owes_status(), "the retained status has to be ours again"


def test_answers_end(watch, clock):
    """Two stations that hear each other must not answer each other for ever."""
    watch.hear(status("online"))
    watch.hear(status("online", "other"))
    assert watch.owes_status()
    for _ in range(5):
        clock[0] += duplicates_module.ANSWER_S
        watch.hear(status("online", "other"))
        assert not watch.owes_status()
    clock[0] += duplicates_module.REPEAT_S
    assert watch.owes_status(), "once a minute, so that the alert lasts as long as the other"


def test_the_alert_ends_with_the_other_or_after_long_quiet(watch, board, clock):
    watch.hear(status("online"))
    watch.hear(status("online", "other"))
    assert codes(board) == [CODE]
    watch.hear(status("stopped", "other"))
    assert codes(board) == []
    watch.taken_over()
    assert "another process uses client id me" in board._active[CODE]["detail"]
    clock[0] += duplicates_module.FORGET_S + 1
    watch.owes_status()
    board.note_repeats()
    assert not watch.is_active


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff", b"[]", b"7", b'{"state": "online"}', b"[" * 100_000, b'{"boot_id": {"a": 1}}'],
)
def test_a_status_that_is_none_is_survived(watch, payload):
    watch.hear(Message("status", payload, False))
    watch.owes_status()


def test_many_foreign_statuses_fill_no_memory(watch):
    watch.hear(status("online"))
    for n in range(1000):
        watch.hear(status("online", f"other-{n}"))
    assert len(watch._others) <= 100


def test_the_pause_grows_beyond_the_usual_while_there_is_a_duplicate(board):
    reconnection = Reconnection(board, 1.0, 30.0)
    pauses = []
    for _ in range(12):
        reconnection.began()
        reconnection.lost("taken over", "", has_duplicate=True)
        pauses.append(reconnection.pause_s(has_duplicate=True))
    assert pauses[-1] > 200
    assert json.dumps(codes(board)) == "[]", "the duplicate has an alert of its own"
