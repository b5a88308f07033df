"""The listener over a real broker: what a station publishes arrives in plant and history."""

from __future__ import annotations

import json
from concurrent.futures import Future
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from edge.config.mqtt import MqttSettings
from edge.dashboard.history import History
from edge.dashboard.history_file import HistoryFile
from edge.dashboard.history_queries import HistoryQueries, ResultFilter
from edge.dashboard.listener import Listener
from edge.dashboard.live import LiveNews
from edge.dashboard.plant import Plant
from edge.dashboard.settings import RetentionSettings
from edge.messages.command import Answer, ack_payload
from edge.messages.identity import Identity
from edge.messages.payload import alerts_payload, state_payload, status_payload
from tests.dashboard.test_history import picture, result
from tests.support.brokers import MOSQUITTO, NO_MOSQUITTO, BrokerProcess, wait_until

TOP = Identity("box", "top", "boot-1")
PREFIX = "edge-infer/v1/box"
pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason=NO_MOSQUITTO)


class Plc:
    """A client that publishes as a station does, and hears commands."""

    def __init__(self, port: int):
        self.commands: list[tuple[str, dict]] = []
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self.client.on_message = lambda *args: self.commands.append(
            (args[2].topic, json.loads(args[2].payload))
        )
        self.is_listening = False
        self.client.on_subscribe = lambda *_: setattr(self, "is_listening", True)
        self.client.on_connect = lambda *_: self.client.subscribe(f"{PREFIX}/top/cmd/+", 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def publish(self, topic: str, payload: dict | bytes, *, retain: bool = False) -> None:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.client.publish(f"{PREFIX}/{topic}", data, 1, retain).wait_for_publish(10)


class Scene:
    def __init__(self, folder: Path):
        self.broker = BrokerProcess("mosquitto", folder).start()
        file = HistoryFile(folder / "data")
        self.queries = HistoryQueries(file)
        self.plant = Plant()
        settings = MqttSettings(port=self.broker.port)
        self.listener = Listener(
            settings, History(file, RetentionSettings()), self.plant, LiveNews()
        )
        self.listener.start()
        wait_until(lambda: self.listener.is_connected, 20)
        self.plc = Plc(self.broker.port)
        wait_until(lambda: self.plc.is_listening, 20)

    def now(self):
        return self.plant.station("box", "top")

    def stop(self) -> None:
        self.plc.client.loop_stop()
        self.listener.stop()
        self.broker.stop()


@pytest.fixture
def scene(tmp_path: Path):
    scene = Scene(tmp_path)
    yield scene
    scene.stop()


def test_a_station_is_known_by_what_it_publishes(scene: Scene) -> None:
    scene.plc.publish("status", status_payload(TOP, "online", "1"), retain=True)
    scene.plc.publish("top/state", state_payload(TOP, "operational", threshold=0.6))
    alert = {"code": "camera_lost", "severity": "error"}
    scene.plc.publish("top/alert/active", alerts_payload(TOP, [alert]))
    scene.plc.publish("top/result", result(1, "fail"))
    scene.plc.publish("top/picture", picture(node="box", station="top"))
    wait_until(lambda: scene.now() and scene.now().last is not None, 20)
    now = scene.now()
    assert (now.presence, now.state["threshold"]) == ("online", 0.6)
    assert [each["code"] for each in now.alerts] == ["camera_lost"]
    assert scene.queries.result(now.last_id) == now.last == result(1, "fail")
    frame = ("box", "top", "top", 7, picture()["capture"])
    wait_until(lambda: scene.queries.picture(*frame) is not None, 20)


def test_a_replayed_result_is_kept_and_does_not_become_the_newest(scene: Scene) -> None:
    scene.plc.publish("top/result", result(5))
    scene.plc.publish("top/result", result(4, is_replayed=True))
    wait_until(lambda: len(scene.queries.results(ResultFilter())) == 2, 20)
    assert scene.now().last["seq"] == 5


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("top/result", b"\xff\xfe"),
        ("top/result", {"schema": "edge-infer.result/1"}),
        ("top/result", {**result(1), "station": "side"}),
        ("top/alert/active", {**alerts_payload(TOP, []), "alerts": 5}),
        ("status", {"state": "online"}),
        ("top/ack", {"node": "box", "station": "top", "cmd_id": None}),
    ],
)
def test_what_nobody_can_read_ends_nothing(scene: Scene, topic: str, payload) -> None:
    scene.plc.publish(topic, payload)
    scene.plc.publish("top/result", result(9))
    wait_until(lambda: scene.now() and scene.now().last is not None, 20)
    assert scene.now().last["seq"] == 9
    assert len(scene.queries.results(ResultFilter())) == 1


def test_a_command_is_sent_with_its_sender_and_brings_its_outcome(scene: Scene) -> None:
    answer = scene.listener.ask("box", "top", "set_threshold", {"threshold": "0.7"}, "anna")
    wait_until(lambda: scene.plc.commands, 20)
    topic, command = scene.plc.commands[0]
    assert topic.endswith("/cmd/set_threshold")
    assert (command["by"], command["args"]) == ("anna", {"threshold": "0.7"})
    assert not answer.cancel(), "an answer always has where to go"
    for status in ("accepted", "done"):
        ack = ack_payload(TOP, "set_threshold", command["cmd_id"], Answer(status), {})
        scene.plc.publish("top/ack", ack)
    assert answer.result(20)["status"] == "done"


def test_a_broker_that_comes_back_is_used_again(scene: Scene) -> None:
    scene.broker.stop()
    wait_until(lambda: not scene.listener.is_connected, 20)
    answer: Future = scene.listener.ask("box", "top", "get_state", {}, "anna")
    scene.broker.start()
    wait_until(lambda: scene.listener.is_connected, 30)
    wait_until(lambda: scene.plc.commands, 30, "the command that waited for the broker")
    assert not answer.done()


def test_what_was_missed_comes_later_under_a_client_id(tmp_path: Path) -> None:
    broker = BrokerProcess("mosquitto", tmp_path).start()
    file = HistoryFile(tmp_path / "data")
    settings = MqttSettings(port=broker.port, client_id="page")
    plc = Plc(broker.port)

    def listener() -> Listener:
        history = History(file, RetentionSettings())
        made = Listener(settings, history, Plant(), LiveNews())
        made.start()
        wait_until(lambda: made.is_connected, 20)
        return made

    listener().stop()
    plc.publish("top/result", result(1))
    second = listener()
    wait_until(lambda: len(HistoryQueries(file).results(ResultFilter())) == 1, 20)
    second.stop()
    plc.client.loop_stop()
    broker.stop()
