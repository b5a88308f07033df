"""A subscriber always knows whether a station is there, and what it does."""

from __future__ import annotations

import json
import time

from jsonschema import Draft202012Validator

from edge.messages.payload import schema
from edge.mqtt import publisher as publisher_module
from edge.mqtt.topics import Topics
from tests.mqtt.conftest import on_one_broker
from tests.mqtt.test_delivery import StationProcess
from tests.support.brokers import wait_until

BIRTH = ["status", "info", "state", "counters", "alert/active"]


def kinds(listener):
    """Topics below the node, without the station."""
    below = (message.topic.partition("/jx-0142/")[2] for message in listener.messages)
    return [topic.removeprefix("st3-top/") for topic in below]


def statuses(listener):
    return [json.loads(message.payload) for message in listener.of("status")]


@on_one_broker
def test_a_connection_begins_with_everything_retained_then_results(broker, listen, make_station):
    listener = listen(broker)
    station = make_station(broker)
    station.judge(2)
    station.start()
    wait_until(lambda: len(listener.of("result")) == 2)
    assert kinds(listener)[:6] == [*BIRTH, "result"]


def test_a_late_subscriber_gets_the_states_and_the_last_result(broker, listen, make_station):
    station = make_station(broker).start()
    station.judge(3)
    station.wait_connected()
    wait_until(lambda: station.outbox.last_seq == 3 and station.outbox.depth == 0)
    time.sleep(0.2)
    listener = listen(broker)
    wait_until(lambda: len(listener.messages) == 6)
    assert sorted(kinds(listener)) == sorted([*BIRTH, "result/last"])
    assert all(message.retain for message in listener.messages)
    assert json.loads(listener.of("counters")[0].payload)["last_seq"] == 3


def test_a_restarted_broker_learns_everything_again(broker, listen, make_station):
    station = make_station(broker).start()
    station.wait_connected()
    station.states.raise_alert("camera_lost", "error", "unplugged")
    broker.kill()  # forgets what was retained
    wait_until(lambda: not station.publisher.connected)
    broker.start()
    wait_until(lambda: station.publisher.connected)
    time.sleep(0.3)
    listener = listen(broker)
    wait_until(lambda: len(listener.messages) == 5)
    assert sorted(kinds(listener)) == sorted(BIRTH)
    assert statuses(listener)[0]["state"] == "online"
    (alert,) = json.loads(listener.of("active")[0].payload)["alerts"]
    assert alert["code"] == "camera_lost"


@on_one_broker
def test_every_message_obeys_its_schema(broker, listen, make_station):
    listener = listen(broker)
    station = make_station(broker).start()
    station.wait_connected()
    station.states.raise_alert("camera_lost", "error", "unplugged")
    station.states.clear_alert("camera_lost")
    station.judge(2)
    assert station.stop()
    listener.wait_status("stopped")
    topics = Topics("plant/v1", "+", "+")
    seen = set()
    for message in listener.messages:
        kind = topics.parse(message.topic)[2]
        seen.add(kind)
        payload = json.loads(message.payload)
        errors = Draft202012Validator(schema("result" if kind == "last" else kind)).iter_errors(
            payload
        )
        assert [error.message for error in errors] == []
    assert seen == {"status", "info", "state", "counters", "alerts", "alert", "result", "last"}


def test_a_clean_stop_ends_with_stopped_and_the_broker_does_not_say_lost(
    broker, listen, make_station
):
    listener = listen(broker)
    station = make_station(broker).start()
    station.judge(5)
    station.wait_connected()
    assert station.stop()
    listener.wait_status("stopped")
    time.sleep(0.3)
    assert [status["state"] for status in statuses(listener)] == ["online", "stopped"]
    assert kinds(listener)[-1] == "status"
    counters = json.loads(listener.of("counters")[-1].payload)
    assert (counters["last_seq"], counters["pending"], counters["counts"]["fail"]) == (5, 0, 5)


def test_a_killed_process_is_reported_lost_with_its_boot_id(broker, listen, tmp_path):
    listener = listen(broker)
    process = StationProcess(tmp_path, broker, 0)
    process.make(1)
    wait_until(lambda: listener.of("result"))
    process.kill()
    began = time.monotonic()
    listener.wait_status("lost")
    # With MQTT 5 the broker waits, so that a short interruption alarms nobody.
    assert (time.monotonic() - began > 1.5) == (broker.protocol == "5")
    online, lost = statuses(listener)
    assert online["state"] == "online"
    assert lost["boot_id"] == online["boot_id"]
    late = listen(broker)
    late.wait_status("lost")
    assert late.of("status")[0].retain


def test_a_short_interruption_is_not_reported_with_mqtt_5(mosquitto, listen, tmp_path):
    listener = listen(mosquitto)
    first = StationProcess(tmp_path, mosquitto, 0)
    first.make(1)
    wait_until(lambda: listener.of("result"))
    second = StationProcess(tmp_path, mosquitto, 1)
    first.kill()
    second.make(1)
    second.stop()
    listener.wait_status("stopped")
    time.sleep(2.5)
    assert [status["state"] for status in statuses(listener)] == ["online", "online", "stopped"]


def test_mqtt_5_messages_carry_type_expiry_and_user_properties(mosquitto, listen, make_station):
    listener = listen(mosquitto, v5=True)
    station = make_station(mosquitto, result_expiry_s=600).start()
    station.wait_connected()
    station.judge(1)
    wait_until(lambda: listener.of("result"))
    message = listener.of("result")[0]
    payload = json.loads(message.payload)
    assert message.properties.ContentType == "application/json"
    assert message.properties.PayloadFormatIndicator == 1
    assert message.properties.MessageExpiryInterval == 600
    assert dict(message.properties.UserProperty) == {
        "schema": "edge-infer.result/1",
        "msg_id": payload["msg_id"],
        "seq": "1",
        "result": "fail",
        "replayed": "false",
    }
    assert not hasattr(listener.of("status")[0].properties, "MessageExpiryInterval")


@on_one_broker
def test_health_is_published_while_connected_and_dropped_while_not(broker, listen, make_station):
    listener = listen(broker)
    station = make_station(broker).start()
    station.states.put("health", {"schema": "edge-infer.health/1", "n": 1})
    station.wait_connected()
    wait_until(lambda: listener.of("counters"))
    assert listener.of("health") == []
    station.states.put("health", {"schema": "edge-infer.health/1", "n": 2})
    wait_until(lambda: listener.of("health"))
    assert json.loads(listener.of("health")[0].payload)["n"] == 2


@on_one_broker
def test_counters_follow_results_at_most_once_per_housekeeping(broker, listen, make_station):
    listener = listen(broker)
    station = make_station(broker).start()
    station.wait_connected()
    began = time.monotonic()
    for _ in range(100):
        station.judge(1)
        time.sleep(0.01)

    def is_final():
        newest = json.loads(listener.of("counters")[-1].payload)
        return (newest["last_seq"], newest["pending"]) == (100, 0)

    wait_until(is_final)
    assert len(listener.of("counters")) <= 3 + (time.monotonic() - began) / 0.3


def test_two_processes_with_one_client_id_slow_down(mosquitto, make_station, tmp_path, monkeypatch):
    monkeypatch.setattr(publisher_module, "FIRST_DELAY_S", 0.1)
    monkeypatch.setattr(publisher_module, "LAST_DELAY_S", 30.0)
    (tmp_path / "other").mkdir()
    stations = [make_station(mosquitto, client_id="same").start()]
    stations[0].wait_connected()
    stations.append(make_station(mosquitto, client_id="same", folder="other").start())
    time.sleep(1.5)
    losses = sum(station.publisher.stats["reconnects"] for station in stations)
    assert 2 <= losses <= 8, "0.1 s doubled at every loss"
