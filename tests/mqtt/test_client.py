"""What arrives from a broker, translated."""

from __future__ import annotations

import paho.mqtt.client as paho
import pytest

from edge.mqtt.client import received


def message(topic: bytes) -> paho.MQTTMessage:
    made = paho.MQTTMessage(topic=topic)
    made.payload = b"{}"
    return made


def test_a_message_keeps_topic_and_payload() -> None:
    got = received(message(b"p/n/s/cmd/stop"))
    assert got is not None
    assert (got.topic, got.payload, got.is_stored, got.reply) == (
        "p/n/s/cmd/stop",
        b"{}",
        False,
        None,
    )


def test_a_topic_that_is_not_utf8_is_ignored_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert received(message(b"p/n/s/cmd/\xff\xfe")) is None
    assert "its topic is not UTF-8" in caplog.text
