"""A broker that sends rubbish, too much, or nothing ends a connection and never the station."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest

from edge.errors import PublishError
from edge.mqtt import connection as connection_module
from edge.mqtt.guarded_client import MAX_PACKET_BYTES
from edge.mqtt.link import Link
from edge.mqtt.topics import DELIVERY
from tests.mqtt.test_link import ACCEPTED, ScriptedServer, connect, little_patience  # noqa: F401
from tests.support.brokers import wait_until
from tests.support.mqtt_results import make_settings


def end_of(link, timeout_s=5.0):
    """Poll until the link says why it ended; None when it did not."""
    deadline = time.monotonic() + timeout_s
    try:
        while time.monotonic() < deadline:
            link.poll(0.05)
    except PublishError as error:
        return str(error)
    return None


def varint(number):
    data = b""
    while True:
        number, digit = divmod(number, 128)
        data += bytes([digit | (0x80 if number else 0)])
        if not number:
            return data


def publish_packet(topic, payload=b"{}", properties=b"\x00", flags=0):
    body = len(topic).to_bytes(2, "big") + topic
    body += (b"\x00\x01" if flags & 6 else b"") + properties + payload
    return bytes([0x30 | flags]) + varint(len(body)) + body


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\xff\xff\xff\xff\xff",  # a length without an end
        b"\x30\x01\x00",  # no topic
        b"\x30\x04\x00\xffab",  # a topic longer than the packet
        publish_packet(b"a", properties=b"\xff"),
        publish_packet(b"a", properties=b"\x05\x08\x00\x02\xff\xfe"),  # response topic not UTF-8
        publish_packet(b"a", properties=b"\x02\x7f\x00"),  # no such property
        publish_packet(b"a", flags=6),  # QoS 3
        publish_packet(b"a", flags=4),  # QoS 2
        b"\x90\x02\x00\x01",  # SUBACK without reasons or properties
        b"\x40\x01\x00",  # half a PUBACK
        b"\x62\x01\x00",  # half a PUBREL
        b"\x00\x00",
        b"\xf0\x00",
        b"\x10\x00",  # a broker does not connect
    ],
    ids=lambda data: data.hex()[:16],
)
def test_a_malformed_packet_ends_the_connection_in_one_line(connect, data):  # noqa: F811
    link, server = connect(ACCEPTED)
    server.answer(data)
    reason = end_of(link, 2.0)
    assert reason is None or "connection" in reason or "sends" in reason
    # What paho takes for harmless must leave a link that still works.
    if reason is None:
        link.publish("a", b"{}", DELIVERY["result"])


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_never_raise_anything_but_the_end_of_the_connection(connect, seed):  # noqa: F811
    chance = random.Random(seed)
    for _ in range(20):
        link, server = connect(ACCEPTED + chance.randbytes(chance.randrange(1, 60)))
        server._open[0].close()
        assert end_of(link) is not None


def test_a_topic_that_is_not_utf8_is_skipped_and_the_next_message_heard(connect):  # noqa: F811
    heard = []
    link, server = connect(ACCEPTED, on_message=heard.append)
    server.answer(publish_packet(b"a/\xff\xfe") + publish_packet(b"a/b"))
    wait_until(lambda: link.poll(0.05) == [] and heard)
    assert [message.topic for message in heard] == ["a/b"]


def test_a_packet_beyond_the_limit_is_not_read(connect):  # noqa: F811
    link, server = connect(ACCEPTED)
    server.answer(b"\x30" + varint(MAX_PACKET_BYTES + 1) + bytes(1000))
    assert f"at most {MAX_PACKET_BYTES} are read" in end_of(link)


def test_the_limit_is_announced(connect):  # noqa: F811
    _, server = connect(ACCEPTED)
    assert b"\x27" + MAX_PACKET_BYTES.to_bytes(4, "big") in server.received[0]


def test_a_broker_that_acknowledges_nothing_is_given_up(connect, monkeypatch):  # noqa: F811
    monkeypatch.setattr(connection_module, "ACK_PATIENCE_S", 0.3)
    link, _ = connect(ACCEPTED)
    link.publish("a", b"{}", DELIVERY["result"])
    assert "acknowledges nothing" in end_of(link)


@pytest.mark.parametrize(
    "answer", [b"\x20\x06\x00\x00\x03\x21\x00\x00", b"\x20\x05\x00\x00\x02\x7f\x00"]
)
def test_an_impossible_answer_to_connect_is_a_refusal(connect, answer):  # noqa: F811
    """A window of none, a property that does not exist."""
    with pytest.raises(PublishError, match="expected an MQTT broker"):
        connect(answer, answer, answer)


def test_an_answer_byte_by_byte_is_not_waited_for_beyond_the_deadline():
    server = ScriptedServer(b"\x20", b"\x20", b"\x20")
    link = Link(make_settings(server.port), "me")
    began = time.monotonic()
    with pytest.raises(PublishError, match="got no answer to CONNECT"):
        link.connect(1.0)
    assert time.monotonic() - began < 3
    link.close()
    server.close()


def test_an_absurd_expiry_is_cut_to_what_mqtt_can_say(connect):  # noqa: F811
    link, server = connect(ACCEPTED)
    for expiry_s in (1e300, float("inf"), float("nan"), -5.0):
        link.publish("a", b"{}", replace(DELIVERY["result"], expiry_s=expiry_s))
    data = server.receive()
    assert data.count(b"\x02\xff\xff\xff\xff") == 2
    assert data.count(b"\x02\x00\x00\x00\x01") == 2


def test_endless_messages_that_nobody_asked_for_end_the_connection_not_the_station(
    make_station, caplog
):
    """A server that accepts the station and floods it; it is left, and asked again later."""

    class Broker:
        port, protocol = 0, "5"

    flood = ACCEPTED + publish_packet(b"somewhere/else", b"x" * 100, flags=1) * 1200
    server = ScriptedServer(*[flood] * 8)
    broker = Broker()
    broker.port = server.port
    station = make_station(broker).start()
    wait_until(lambda: station.publisher.stats["reconnects"] >= 2)
    # The publisher itself forgets a problem as soon as it is connected again.
    assert "nobody asked for" in caplog.text
    assert station.publisher.error is None
    station.stop(0.1)
    server.close()


@pytest.mark.parametrize("seed", range(3))
def test_a_station_outlives_a_broker_that_sends_random_packets(make_station, seed):
    chance = random.Random(seed)

    def packet():
        body = chance.randbytes(chance.randrange(40))
        return bytes([chance.randrange(16) << 4 | chance.choice((0, 2))]) + varint(len(body)) + body

    class Broker:
        port, protocol = 0, "5"

    scripts = [ACCEPTED + b"".join(packet() for _ in range(5)) for _ in range(60)]
    server = ScriptedServer(*scripts)
    broker = Broker()
    broker.port = server.port
    station = make_station(broker).start()
    station.judge(3)
    wait_until(lambda: station.publisher.stats["reconnects"] + station.failures >= 4, 20)
    assert station.publisher.error is None
    assert station.outbox.lost + station.outbox.depth + station.publisher.stats["published"] >= 3
    station.stop(0.1)
    server.close()
