"""Commands reach a station over real brokers, and answers reach whoever asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.config.station import CommandSettings
from edge.messages.command import Answer
from edge.messages.payload import state_payload
from edge.mqtt.topics import Topics
from edge.station.commands.audit_log import AuditLog
from edge.station.commands.dispatcher import CommandDispatcher
from edge.station.commands.replay_memory import ReplayMemory
from tests.mqtt.conftest import on_one_broker
from tests.support.brokers import wait_until
from tests.support.commander import Commander
from tests.support.mqtt_results import IDENTITY

TOPICS = Topics("plant/v1", IDENTITY.node, IDENTITY.station)


@pytest.fixture
def commanded(tmp_path, make_station):
    """A station that obeys `stop`, and what it was asked."""

    def _make(broker, *, is_started=True):
        asked: list[str] = []

        def stop(command):
            asked.append(command.cmd_id)
            return Answer("done", "ok", "stopped")

        def hear(*message):
            dispatcher.take(*message)

        station = make_station(broker, on_command=hear)
        dispatcher = CommandDispatcher(
            IDENTITY,
            {"stop": stop},
            limits=CommandSettings(),
            audit=AuditLog(tmp_path / "audit.jsonl"),
            memory=ReplayMemory(
                tmp_path / "commands.db", is_expected=False, limits=CommandSettings()
            ),
            states=station.states,
            state=lambda: state_payload(IDENTITY, "operational", mode="ready", revision="r1"),
            publish=station.states.answer,
        )
        if is_started:
            station.start()
            station.wait_connected()
        return station, asked

    return _make


@pytest.fixture
def commander():
    made = []

    def _make(broker, **options):
        made.append(Commander(broker.port, TOPICS, **options))
        return made[-1]

    yield _make
    for one in made:
        one.stop()


def test_a_command_is_answered_at_qos_1_and_nothing_of_it_is_retained(
    broker, commanded, commander, listen
):
    mes = commander(broker)
    _, asked = commanded(broker)
    ack = mes.ask("stop")
    assert (ack["status"], ack["message"]) == ("done", "stopped")
    assert asked == [ack["cmd_id"]]
    (message,) = mes.listener.of("ack")
    assert (message.topic, message.retain) == ("plant/v1/jx-0142/st3-top/ack", False)
    late = listen(broker)
    wait_until(lambda: late.of("state"))
    assert late.of("ack") == []
    assert late.of("cmd/stop") == []


def test_an_answer_goes_to_its_response_topic_too(mosquitto, commanded, commander):
    mes = commander(mosquitto, v5=True)
    commanded(mosquitto)
    cmd_id = mes.send("stop", reply=("plant/v1/jx-0142/st3-top/reply/inbox", b"\x00\x07"))
    mes.outcome(cmd_id)
    wait_until(lambda: mes.listener.of("inbox"))
    (answer,) = mes.listener.of("inbox")
    (ack,) = mes.listener.of("ack")
    assert answer.payload == ack.payload
    assert answer.properties.CorrelationData == ack.properties.CorrelationData == b"\x00\x07"
    assert (answer.qos, answer.retain) == (0, False), "the listener subscribed at QoS 0"
    assert 0 < answer.properties.MessageExpiryInterval <= 3600
    assert dict(ack.properties.UserProperty)["schema"] == "edge-infer.ack/1"


def test_no_one_has_the_station_write_where_it_should_not(mosquitto, commanded, commander):
    mes = commander(mosquitto, v5=True)
    station, _ = commanded(mosquitto)
    other = Topics("plant/v1", "other", "st1")
    topics = [
        *(TOPICS.of("result"), TOPICS.command("stop"), TOPICS.of("status"), "mes/inbox"),
        *(other.of("result"), other.command("stop"), other.of("info"), "plant/v1x/inbox"),
    ]
    for topic in topics:
        mes.outcome(mes.send("stop", reply=(topic, b"1")))
    long = mes.send("stop", reply=("plant/v1/mes/inbox", b"1" * 2000))
    mes.outcome(long)
    assert len(mes.listener.of("ack")) == len(topics) + 1
    assert {m.topic for m in mes.listener.messages if b"edge-infer.ack" in m.payload} == {
        TOPICS.of("ack")
    }
    assert station.publisher.stats["replies_refused"] == len(topics) + 1
    assert station.publisher.error is None
    mes.outcome(mes.send("stop", reply=("plant/v1/mes/inbox", b"1")))
    wait_until(lambda: mes.listener.of("inbox"))


def test_a_retained_command_is_ignored_however_often_it_comes(broker, commanded, commander, caplog):
    mes = commander(broker)
    mes.send("stop", retain=True)
    station, asked = commanded(broker)
    wait_until(lambda: "retained command ignored" in caplog.text)
    assert mes.ask("stop")["status"] == "done"
    assert len(asked) == 1
    station.stop()


def test_a_command_in_the_outage_arrives_and_a_late_one_has_expired(
    mosquitto, commanded, commander
):
    """Another client takes the session over and leaves it to the broker, as a cut cable would."""
    mes = commander(mosquitto, v5=True)
    station, asked = commanded(mosquitto)
    station.may_connect.clear()
    session = Properties(PacketTypes.CONNECT)
    session.SessionExpiryInterval = 600
    thief = paho.Client(
        paho.CallbackAPIVersion.VERSION2,
        protocol=paho.MQTTv5,
        client_id=f"edge-infer-{IDENTITY.node}-{IDENTITY.station}",
    )
    thief.connect("127.0.0.1", mosquitto.port, clean_start=False, properties=session)
    thief.loop_start()
    wait_until(lambda: not station.publisher.connected)
    thief.loop_stop()
    thief.disconnect()
    timely = mes.send("stop")
    late = mes.send("stop", expires_at="2026-01-01T00:00:00Z")
    station.may_connect.set()
    assert mes.outcome(timely)["status"] == "done"
    assert mes.outcome(late)["status"] == "expired"
    assert asked == [timely]


@on_one_broker
def test_a_station_that_hears_nothing_does_not_subscribe(broker, make_station, commander):
    mes = commander(broker)
    station = make_station(broker).start()
    station.wait_connected()
    mes.send("stop")
    station.judge(1)
    wait_until(lambda: mes.listener.of("result"))
    assert mes.listener.of("ack") == []


def test_a_topic_of_another_station_is_not_ours(mosquitto, commanded, commander):
    mes = commander(mosquitto)
    _, asked = commanded(mosquitto)
    mes.topics = Topics("plant/v1", IDENTITY.node, "st4")
    mes.send("stop")
    mes.topics = TOPICS
    assert mes.ask("stop")["status"] == "done"
    assert len(asked) == 1


def run_edge_command(broker, *arguments, timeout="10"):
    return subprocess.run(
        [
            Path(sys.executable).parent / "edge-command", *arguments,
            "--node", IDENTITY.node, "--station", IDENTITY.station, "--prefix", "plant/v1",
            "--mqtt", f"mqtt://127.0.0.1:{broker.port}", "--timeout", timeout,
        ],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


def test_edge_command_prints_the_outcome(broker, commanded):
    _, asked = commanded(broker)
    done = run_edge_command(broker, "stop")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done: stopped\n", "")
    assert len(asked) == 1
    ack = json.loads(run_edge_command(broker, "stop", "--json").stdout)
    assert ack["schema"] == "edge-infer.ack/1"


@on_one_broker
def test_edge_command_says_why_it_was_refused(broker, commanded):
    _, asked = commanded(broker)
    done = run_edge_command(broker, "stop", "now=yes")
    assert done.returncode == 7
    assert done.stderr == (
        "error: stop: rejected (invalid): expected args [], got ['now']\n"
    )  # fmt: skip
    assert asked == []
    assert run_edge_command(broker, "halt").returncode == 7


@on_one_broker
def test_edge_command_says_when_nobody_answers(broker):
    done = run_edge_command(broker, "stop", timeout="1")
    assert done.returncode == 6
    assert done.stderr == (
        "error: stop: no answer from jx-0142/st3-top within 1 s; check node and station, and that "
        "it runs and takes commands\n"
    )
    broker.kill()
    done = run_edge_command(broker, "stop", timeout="2")
    assert done.returncode == 6
    assert "Connection refused" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stop", "now"], "expected arguments such as recipe=cover, got now"),
        (["a/b"], "NAME: expected letters"),
        (["stop", "--station", "+"], "--station: expected letters"),
        (["stop", "--mqtt", "embedded"], "--mqtt: expected mqtt://HOST:PORT"),
    ],
)
def test_wrong_usage_of_edge_command_is_one_line(arguments, message):
    done = subprocess.run(
        [Path(sys.executable).parent / "edge-command", "--node", "n", "--station", "s", *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
