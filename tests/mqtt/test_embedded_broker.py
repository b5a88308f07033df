"""The embedded broker: for one process, on loopback, gone without a trace."""

from __future__ import annotations

import sys
import threading

import pytest

from edge.errors import ConfigError, PublishError
from edge.mqtt.embedded_broker import EmbeddedBroker
from tests.mqtt.conftest import assert_nothing_missing, results
from tests.support.brokers import free_port


@pytest.fixture
def embedded():
    broker = EmbeddedBroker(port=free_port())
    broker.protocol = "5"
    broker.start()
    yield broker
    broker.stop()


def test_a_station_publishes_to_it_without_asking_for_mqtt_5(
    embedded, listen, make_station, caplog
):
    listener = listen(embedded)
    station = make_station(embedded, broker="embedded").start()
    station.wait_connected()
    station.judge(20)
    assert station.stop()
    listener.wait_status("stopped")
    assert_nothing_missing(results(listener), station.made)
    assert [r.message for r in caplog.records if r.levelname != "INFO"] == []


def test_a_stop_closes_connections_frees_the_port_and_ends_the_thread(embedded, listen):
    listen(embedded)
    embedded.stop()
    assert "embedded-broker" not in [thread.name for thread in threading.enumerate()]
    again = EmbeddedBroker(port=embedded.port)
    again.start()
    again.stop()


def test_a_port_that_is_taken_is_named(embedded):
    with pytest.raises(PublishError, match=rf"127\.0\.0\.1:{embedded.port}: .*address already in"):
        EmbeddedBroker(port=embedded.port).start()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "edge.example"])
def test_it_does_not_listen_to_other_machines(host):
    with pytest.raises(ConfigError, match="has no login and listens on loopback only"):
        EmbeddedBroker(host)
    EmbeddedBroker(host, allow_remote=True)


def test_without_amqtt_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "amqtt.broker", None)
    with pytest.raises(ConfigError, match=r"pip install 'edge-inspection\[demo\]'"):
        EmbeddedBroker(port=free_port()).start()


def test_stopping_what_never_started_does_nothing():
    EmbeddedBroker(port=free_port()).stop()
