"""The link against servers that behave badly, byte by byte."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import pytest

from edge.errors import PublishError
from edge.messages.message import OversizeError
from edge.mqtt import link as link_module
from edge.mqtt.link import Link
from edge.mqtt.topics import DELIVERY
from tests.support.brokers import wait_until
from tests.support.mqtt_results import make_settings

ACCEPTED = b"\x20\x03\x00\x00\x00"
UNSUPPORTED = b"\x20\x03\x00\x84\x00"
UNAVAILABLE = b"\x20\x03\x00\x88\x00"
TAKEN_OVER = b"\xe0\x02\x8e\x00"
WINDOW_OF_ONE = b"\x20\x06\x00\x00\x03\x21\x00\x01"
AT_MOST_300_BYTES = b"\x20\x08\x00\x00\x05\x27\x00\x00\x01\x2c"


class ScriptedServer:
    """Answers each connection's first bytes with the next script; None closes without a word."""

    def __init__(self, *scripts: bytes | None):
        self.received: list[bytes] = []
        self._scripts = scripts
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        for script in self._scripts:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._open.append(connection)
            self.received.append(connection.recv(4096))
            if script is None:
                connection.close()
            elif script:
                connection.sendall(script)

    def answer(self, data: bytes) -> None:
        """Send more over the first connection."""
        self._open[0].sendall(data)

    def receive(self) -> bytes:
        """Everything the first connection has sent since its CONNECT."""
        data = b""
        self._open[0].settimeout(0.2)
        with suppress(TimeoutError):
            while chunk := self._open[0].recv(65536):
                data += chunk
        return data

    def close(self):
        self._server.close()
        for connection in self._open:
            connection.close()
        self._thread.join(2)


@pytest.fixture(autouse=True)
def little_patience(monkeypatch):
    monkeypatch.setattr(link_module, "PATIENCE_S", 0.3)


@pytest.fixture
def connect():
    made = []

    def _connect(*scripts, timeout_s=1.5, **options):
        server = ScriptedServer(*scripts)
        link = Link(make_settings(server.port), "me", **options)
        made.extend((link, server))
        link.connect(timeout_s)
        return link, server

    yield _connect
    for thing in made:
        thing.close()


@pytest.mark.parametrize(
    "scripts",
    [(b"", b"", b""), (None, None, None), (b"HTTP/1.1 400 Bad Request\r\n\r\n",) * 3],
    ids=["silent", "closing", "not mqtt"],
)
def test_a_server_that_is_no_broker_is_named_in_time(connect, scripts):
    began = time.monotonic()
    with pytest.raises(PublishError, match="expected an MQTT broker, got no answer to CONNECT"):
        connect(*scripts)
    assert time.monotonic() - began < 2.5


def test_an_old_broker_is_asked_in_its_own_language(connect, caplog):
    accepted_3 = b"\x20\x02\x00\x00"
    link, server = connect(UNSUPPORTED, accepted_3)
    assert link.connected
    assert [packet[8] for packet in server.received] == [5, 4]
    assert caplog.text.count("using 3.1.1") == 1


def test_an_old_broker_that_chokes_on_properties_is_asked_without_any(connect):
    accepted_3 = b"\x20\x02\x00\x00"
    link, server = connect(b"", UNSUPPORTED, accepted_3)
    assert link.protocol == "3.1.1"
    levels = [packet[8] for packet in server.received]
    assert levels == [5, 5, 4]
    assert b"me" in server.received[0]
    assert b"me" not in server.received[1], "the question must not end a session of our name"


def test_a_slow_broker_that_speaks_mqtt_5_is_not_taken_for_an_old_one(connect):
    link, server = connect(b"", ACCEPTED, ACCEPTED)
    assert link.protocol == "5"
    assert len(server.received) == 3


def test_a_refusal_is_repeated_in_words(connect):
    with pytest.raises(PublishError, match="refuses the connection: Server unavailable; see its"):
        connect(UNAVAILABLE)


def is_alive(link):
    with suppress(PublishError):
        link.poll(0.1)
        return True
    return False


def test_the_end_by_another_process_is_explained(connect):
    link, _ = connect(ACCEPTED + TAKEN_OVER)
    wait_until(lambda: not is_alive(link))
    with pytest.raises(PublishError, match="Session taken over; another process uses client id me"):
        link.poll(0.1)
    assert link.was_taken_over


def test_the_broker_s_window_is_obeyed(connect):
    link, _ = connect(WINDOW_OF_ONE)
    assert link.has_room
    link.publish("a", b"{}", DELIVERY["result"])
    assert not link.has_room


def fits(link, size):
    try:
        link.publish("a", b"x" * size, DELIVERY["last"])
    except OversizeError:
        return False
    return True


def test_the_broker_s_packet_size_is_obeyed_to_the_byte(connect):
    """With topic `a`, expiry and type: 300 bytes are accepted by a broker that takes 300."""
    link, server = connect(AT_MOST_300_BYTES)
    sizes = [size for size in range(200, 300) if fits(link, size)]
    data = server.receive()
    last = data[data.rindex(b"\x31", 0, len(data) - sizes[-1]) :]
    # Ten bytes of caution at most; never one too many.
    assert 290 <= len(last) <= 300


def test_wake_ends_a_wait(connect):
    link, _ = connect(ACCEPTED)
    threading.Timer(0.1, link.wake).start()
    began = time.monotonic()
    link.poll(5)
    assert time.monotonic() - began < 2


def test_using_a_link_that_is_not_connected_is_an_error():
    link = Link(make_settings(1), "me")
    with pytest.raises(PublishError, match=r"mqtt://127\.0\.0\.1:1"):
        link.publish("a", b"", DELIVERY["result"])
    with pytest.raises(PublishError, match="Connection refused"):
        link.connect(1)
    link.close()


def test_a_refused_subscription_ends_the_connection_only_if_it_is_needed(connect, caplog):
    refused = b"\x90\x04\x00\x01\x00\x87"  # SUBACK for packet 1: not authorised
    for is_needed in (True, False):
        link, server = connect(ACCEPTED)
        link.subscribe(["a"], is_needed=is_needed)
        server.answer(refused)
        wait_until(lambda link=link: "Not authorized" in caplog.text or not is_alive(link))
        assert is_alive(link) != is_needed
