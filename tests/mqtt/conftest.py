"""Stations and brokers for tests that need both for real."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager

import pytest

from edge.config.mqtt import SpoolSettings
from edge.errors import EdgeError
from edge.messages.identity import Identity
from edge.messages.payload import info_payload, state_payload
from edge.messages.state_board import StateBoard
from edge.mqtt import link as link_module
from edge.mqtt import publisher as publisher_module
from edge.mqtt.publisher import Publisher
from edge.outputs.outbox import Outbox, outbox_path
from edge.outputs.outbox_writer import OutboxWriter
from tests.support.brokers import MOSQUITTO, NO_MOSQUITTO, BrokerProcess, Listener, wait_until
from tests.support.mqtt_results import IDENTITY, MODEL, make_payload, make_settings

# For what does not depend on the broker; amqtt is installed wherever the tests are.
on_one_broker = pytest.mark.parametrize("broker", ["amqtt"], indirect=True)


class Station:
    """Outbox, writer and publisher as a real station has them."""

    def __init__(self, folder, port, *, boot_id="boot-1", spool=None, on_command=None, **settings):
        self.identity = Identity(IDENTITY.node, IDENTITY.station, boot_id)
        self.settings = make_settings(port, **settings)
        self.outbox = Outbox(outbox_path(folder, "jx", "st3"), SpoolSettings(**(spool or {})))
        info = info_payload(self.identity, MODEL, {"edge-inspection": "0.1"})
        self.states = StateBoard(self.identity)
        self.states.put("info", info)
        self.states.put("state", state_payload(self.identity, "operational", mode="ready"))
        self.publisher = Publisher(
            self.settings, self.identity, self.outbox, self.states,
            version="0.1", on_command=on_command,
        )  # fmt: skip
        self.writer = OutboxWriter(self.outbox, lambda _: self.publisher.wake())
        self.made: list[str] = []
        self.failures = 0  # connections that could not be made
        self.may_connect = threading.Event()
        self.may_connect.set()
        self._connect = self.publisher._link.connect
        self.publisher._link.connect = self._connect_when_allowed
        self._is_open = True

    def start(self):
        self.writer.start()
        self.publisher.start()
        return self

    def wait_connected(self):
        wait_until(lambda: self.publisher.connected, 10, "a connection to the broker")

    def _connect_when_allowed(self, timeout_s):
        assert self.may_connect.wait(20)
        try:
            self._connect(timeout_s)
        except EdgeError:
            self.failures += 1
            raise

    def judge(self, count=1, **changes):
        """Put results through the writer; part ids are p-0, p-1 and so on."""
        for _ in range(count):
            self.made.append(f"p-{len(self.made)}")
            self.writer.put(make_payload(self.made[-1], self.identity, **changes))

    def stop(self, timeout_s=5.0):
        """Return whether everything was delivered."""
        if not self._is_open:
            return None
        self._is_open = False
        self.may_connect.set()
        is_written = self.writer.stop(2)
        is_delivered = self.publisher.stop(timeout_s)
        self.outbox.close()
        assert self.writer.error is None
        assert self.publisher.error is None
        return is_written and is_delivered


@contextmanager
def outage(broker, station, listener):
    """Kill the broker, start it again at the end, and let the listener in before the station.

    A restarted broker knows no subscriber: what the station sent first nobody could receive.
    """
    station.may_connect.clear()
    listener.expect_return()
    broker.kill()
    yield
    broker.start()
    listener.wait_connected()
    station.may_connect.set()


def results(listener):
    return [json.loads(message.payload) for message in listener.of("result")]


def assert_nothing_missing(received, part_ids):
    """Every part once or more, repetitions share their id, and no number is missing."""
    assert {payload["part"]["id"] for payload in received} == set(part_ids)
    numbers = {payload["seq"]: payload["msg_id"] for payload in received}
    assert sorted(numbers) == list(range(1, len(part_ids) + 1))
    assert {payload["msg_id"] for payload in received} == set(numbers.values())


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A third of a second between attempts is more than listeners need to come back."""
    monkeypatch.setattr(publisher_module, "HOUSEKEEPING_S", 0.3)
    monkeypatch.setattr(publisher_module, "LINGER_S", 0.1)
    monkeypatch.setattr(link_module, "PATIENCE_S", 0.5)
    monkeypatch.setattr(publisher_module, "FIRST_DELAY_S", 0.35)
    monkeypatch.setattr(publisher_module, "LAST_DELAY_S", 0.35)


@pytest.fixture
def make_broker(tmp_path):
    made = []

    def _make(kind, options=""):
        if kind == "mosquitto" and MOSQUITTO is None:
            pytest.skip(NO_MOSQUITTO)
        made.append(BrokerProcess(kind, tmp_path, options).start())
        return made[-1]

    yield _make
    for broker in made:
        broker.stop()


@pytest.fixture(params=["mosquitto", "amqtt"])
def broker(request, make_broker):
    return make_broker(request.param)


@pytest.fixture
def mosquitto(make_broker):
    return make_broker("mosquitto")


@pytest.fixture
def listen():
    made = []

    def _listen(broker, topic="#", **options):
        made.append(Listener(broker.port, topic, **options))
        return made[-1]

    yield _listen
    for listener in made:
        listener.stop()


@pytest.fixture
def make_station(tmp_path):
    made = []

    def _make(process, folder=".", **options):
        options = {"port": process.port, "protocol": process.protocol, **options}
        made.append(Station(tmp_path / folder, **options))
        return made[-1]

    yield _make
    for station in made:
        station.stop(0.1)
