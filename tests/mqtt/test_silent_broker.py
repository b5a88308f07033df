"""Brokers that acknowledge and drop, refuse, or cut: noticed in seconds, told by one alert."""

from __future__ import annotations

import json
import signal
import time

import pytest

from edge.messages.payload import info_payload
from edge.mqtt import delivery_proof, result_stream, state_stream
from edge.mqtt import publisher as publisher_module
from edge.outputs.outbox import Outbox
from tests.mqtt.conftest import assert_nothing_missing, on_one_broker, results
from tests.support.brokers import wait_until
from tests.support.mqtt_results import MODEL

NODE = "plant/v1/jx-0142"
EVERYTHING = "topic readwrite #\n"


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setattr(delivery_proof, "ECHO_S", 0.6)
    monkeypatch.setattr(result_stream, "ECHO_S", 0.6)
    monkeypatch.setattr(result_stream, "MISSED_S", 0.5)
    monkeypatch.setattr(state_stream, "RENEW_S", 0.5)


@pytest.fixture
def make_guarded(make_broker, tmp_path):
    """A Mosquitto whose rights for everybody can be changed while it runs."""

    def _make(rights, extra=""):
        path = tmp_path / "rights"
        path.write_text(rights)
        broker = make_broker("mosquitto", f"allow_anonymous true\nacl_file {path}\n{extra}")

        def grant(text):
            path.write_text(text)
            broker._process.send_signal(signal.SIGHUP)

        broker.grant = grant
        return broker

    return _make


def active(station):
    """Alerts that are raised, by code."""
    return dict(station.states._active)


def wait_alert(station, code, timeout_s=10.0):
    wait_until(lambda: code in active(station), timeout_s, f"alert {code}")
    return active(station)[code]


def wait_no_alert(station, code, timeout_s=10.0):
    wait_until(lambda: code not in active(station), timeout_s, f"end of alert {code}")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_what_comes_back_is_proven(mosquitto, make_station, protocol):
    station = make_station(mosquitto, protocol=protocol).start()
    station.wait_connected()
    wait_until(lambda: station.publisher.stats["delivery"] == "proven")
    station.judge(50)
    assert station.stop()
    assert "delivery_unproven" not in active(station)
    assert station.publisher.stats["unproven"] == 0


@on_one_broker
def test_an_embedded_broker_is_proven_too(broker, make_station):
    station = make_station(broker).start()
    station.wait_connected()
    station.judge(20)
    wait_until(lambda: station.publisher.stats["published"] == 20)
    assert station.publisher.stats["delivery"] == "proven"
    assert station.publisher.stats["unproven"] == 0


def test_results_that_a_silent_acl_drops_are_kept_and_arrive_in_the_end(
    make_guarded, listen, make_station
):
    """MQTT 3.1.1: every result is acknowledged and none is passed on; the states are."""
    broker = make_guarded(
        f"topic read #\ntopic write {NODE}/status\ntopic write {NODE}/info\n"
        + "".join(f"topic write {NODE}/st3-top/{kind}\n" for kind in ("state", "counters", "alert"))
        + f"topic write {NODE}/st3-top/alert/active\n"
    )
    listener = listen(broker)
    station = make_station(broker, protocol="3.1.1").start()
    station.wait_connected()
    station.judge(30)
    assert station.writer.flush(5)
    alert = wait_alert(station, "delivery_unproven")
    assert f"{NODE}/st3-top/result" in alert["detail"]
    assert station.publisher.stats["unproven"] > 0
    assert station.publisher.stats["delivery"] == "unproven"
    wait_until(lambda: listener.of("alert"))
    assert (station.outbox.depth, station.outbox.lost) == (30, 0)
    broker.grant(EVERYTHING)
    wait_until(lambda: len({p["seq"] for p in results(listener)}) == 30, 20)
    wait_until(lambda: station.outbox.depth == 0)
    assert_nothing_missing(results(listener), station.made)
    wait_no_alert(station, "delivery_unproven")


def test_results_over_a_silent_size_limit_are_counted_as_lost_and_the_rest_goes_on(
    make_broker, listen, make_station
):
    broker = make_broker("mosquitto", "allow_anonymous true\nmessage_size_limit 20000")
    listener = listen(broker)
    station = make_station(broker, protocol="3.1.1").start()
    station.wait_connected()
    station.judge(2)
    station.judge(1, detail="x" * 30_000)
    station.judge(2)
    wait_alert(station, "delivery_unproven")
    wait_until(lambda: {p["seq"] for p in results(listener)} == {1, 2, 4, 5})
    deadline = time.monotonic() + 30
    while station.outbox.lost == 0 and time.monotonic() < deadline:
        station.judge(1)
        time.sleep(0.2)
    assert station.outbox.lost == 1
    wait_until(lambda: station.outbox.depth == 0)
    assert 3 not in {p["seq"] for p in results(listener)}


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_without_the_right_to_read_nothing_is_proven_and_nothing_held_up(
    make_guarded, make_station, protocol
):
    broker = make_guarded(f"topic write {NODE}/#\n")
    station = make_station(broker, protocol=protocol).start()
    station.wait_connected()
    alert = wait_alert(station, "delivery_unproven")
    assert "right" in alert["detail"]
    station.judge(5)
    wait_until(lambda: station.publisher.stats["published"] == 5)
    assert station.stop()


def test_a_schedule_proves_an_idle_line(make_guarded, make_station):
    broker = make_guarded(EVERYTHING)
    station = make_station(broker, protocol="3.1.1", probe_interval_s=0.5).start()
    station.wait_connected()
    wait_until(lambda: station.publisher.stats["delivery"] == "proven")
    broker.grant("topic read #\n")
    wait_alert(station, "delivery_unproven")
    broker.grant(EVERYTHING)
    wait_no_alert(station, "delivery_unproven")


def test_refusals_under_mqtt_5_are_one_alert_while_they_last(make_guarded, listen, make_station):
    broker = make_guarded(f"topic read #\ntopic write {NODE}/+\n")
    listener = listen(broker)
    station = make_station(broker).start()
    station.wait_connected()
    station.judge(3)
    assert station.writer.flush(5)
    wait_alert(station, "publish_refused")
    wait_until(lambda: f"{NODE}/st3-top/result" in active(station)["publish_refused"]["detail"])
    assert "Not authorized" in active(station)["publish_refused"]["detail"]
    assert (station.outbox.depth, station.outbox.lost) == (3, 0)
    broker.grant(EVERYTHING)
    wait_until(lambda: len(results(listener)) == 3)
    wait_no_alert(station, "publish_refused")


def big_info(station, recipes=2000):
    names = [f"recipe-number-{n:05}" for n in range(recipes)]
    station.states.put("info", info_payload(station.identity, MODEL, {"edge": "1"}, recipes=names))


@pytest.mark.parametrize(
    ("protocol", "limit"),
    [("5", "max_packet_size 9000"), ("5", "message_size_limit 9000"),
     ("3.1.1", "max_packet_size 9000")],
)  # fmt: skip
def test_an_info_that_is_too_large_is_published_in_a_short_form(
    make_broker, listen, make_station, protocol, limit
):
    broker = make_broker("mosquitto", f"allow_anonymous true\n{limit}")
    listener = listen(broker)
    station = make_station(broker, protocol=protocol)
    big_info(station)
    station.start()
    station.judge(3)
    wait_until(lambda: len({p["seq"] for p in results(listener)}) == 3, 20)
    wait_until(lambda: listener.of("info"), 20)
    info = json.loads(listener.of("info")[-1].payload)
    assert info["is_short"] is True
    assert info["model"]["name"] == "inpformer"
    alert = wait_alert(station, "message_too_large")
    assert f"{NODE}/info" in alert["detail"]
    assert "short form" in alert["detail"]
    cuts = station.publisher.stats["reconnects"]
    time.sleep(1.0)
    assert station.publisher.stats["reconnects"] == cuts <= 4
    station.states.put("info", info_payload(station.identity, MODEL, {"edge": "1"}))
    wait_no_alert(station, "message_too_large")


def test_connections_that_keep_ending_are_told(make_broker, make_station, monkeypatch):
    monkeypatch.setattr(publisher_module, "FIRST_DELAY_S", 0.05)
    broker = make_broker("mosquitto")
    station = make_station(broker).start()
    for _ in range(3):
        station.wait_connected()
        station.may_connect.clear()
        broker.kill()
        wait_until(lambda: not station.publisher.connected)
        broker.start()
        station.may_connect.set()
    alert = wait_alert(station, "connection_unstable")
    assert "3 connections in a row" in alert["detail"]


def test_a_row_that_is_no_result_is_set_aside_counted_and_told(mosquitto, make_station):
    station = make_station(mosquitto)
    station.judge(3)
    station.writer.start()
    assert station.writer.flush(5)
    outbox: Outbox = station.outbox
    with outbox._lock:
        outbox._tables._db.execute(
            """UPDATE results SET payload = '{"schema": 7, "msg_id": null}' WHERE seq = 2"""
        )
    station.publisher.start()
    wait_until(lambda: station.publisher.stats["published"] == 2)
    wait_until(lambda: station.outbox.depth == 0)
    assert station.outbox.lost == 1
    assert station.publisher.error is None
