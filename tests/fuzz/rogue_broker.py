"""A broker that answers a station's connection with any bytes at all."""

from __future__ import annotations

import socket
import threading

from edge.config.mqtt import MqttSettings
from edge.errors import PublishError
from edge.messages.message import Message
from edge.mqtt.link import Link

_CONNACK = b"\x20\x03\x00\x00\x00"
_PUBLISH = b"\x30\x12\x00\x0bp/n/s/cmd/x\x00{}"
# What a sound broker could say, in one piece.
SESSIONS = (
    _CONNACK,
    _CONNACK + b"\x90\x04\x00\x01\x00\x01",
    _CONNACK + _PUBLISH * 2,
    _CONNACK + b"\x32\x14\x00\x0bp/n/s/cmd/x\x00\x01\x00{}" + b"\xe0\x02\x8e\x00",
    b"\x20\x09\x00\x00\x06\x27\x00\x00\x04\x00\x24\x00" + _PUBLISH,
)
# A link may need this long to see what it got and that the connection ended.
_PATIENCE_S = 0.5


class RogueBroker:
    """Serves one connection after the other, each with the bytes of one input."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._answers: list[bytes] = []
        self._received: list[Message] = []
        self._settings = MqttSettings(host="127.0.0.1", port=self._listener.getsockname()[1])
        threading.Thread(target=self._run, daemon=True).start()

    def serve(self, data: bytes) -> None:
        """Connect, read what comes as long as the connection lives, close."""
        self._answers.append(data)
        link = Link(self._settings, "fuzz", on_message=self._received.append, resume=False)
        try:
            link.connect(_PATIENCE_S)
            while link.connected:
                link.poll(_PATIENCE_S)
        except PublishError:
            pass
        finally:
            link.close()
            self._received.clear()
            self._answers.clear()

    def close(self) -> None:
        """End the thread."""
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(_PATIENCE_S)
                try:
                    connection.recv(4096)
                    connection.sendall(self._answers[0] if self._answers else b"")
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(4096)
                except OSError:
                    pass
