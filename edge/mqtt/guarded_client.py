"""paho's client with a guard on what it reads: no packet beyond a limit, no error forgotten."""

from __future__ import annotations

import paho.mqtt.client as paho

# Several times what a station sends. Without a limit a broker may make us hold 256 MiB a packet.
MAX_PACKET_BYTES = 4 * 2**20
_CHUNK_BYTES = 64 * 1024


class GuardedClient(paho.Client):
    """Refuses packets beyond `MAX_PACKET_BYTES` and remembers why reading ended.

    Attributes:
        fault: what the other side did that is no MQTT, empty if nothing.
        socket_error: what reading the socket raised; paho only logs it.
        first_bytes: the beginning of what was received, eight bytes at most.
    """

    fault = ""
    socket_error: OSError | None = None
    first_bytes = b""

    def read(self) -> None:
        """Read a packet or a part of it; the connection ends when it is malformed."""
        try:
            rc = self.loop_read()
            if rc == paho.MQTT_ERR_PROTOCOL and not self.fault:
                self.fault = "sends what is not MQTT"
            elif self._in_messages:
                self.fault = "sends messages at QoS 2, which nobody asked for"
        except Exception as error:  # noqa: BLE001 - paho decodes some malformed packets unchecked
            self.fault = f"sends what is not MQTT ({type(error).__name__})"
        if self.fault:
            self.close_socket()

    def close_socket(self) -> None:
        """Close the socket without a farewell; the broker then publishes the will."""
        sock = self.socket()
        if sock is not None:
            self._sock_close()

    def _sock_recv(self, bufsize: int) -> bytes:
        if bufsize > MAX_PACKET_BYTES:
            self.fault = f"sends a packet of {bufsize} bytes, at most {MAX_PACKET_BYTES} are read"
            raise ConnectionError(self.fault)
        try:
            data = super()._sock_recv(min(bufsize, _CHUNK_BYTES))
        except BlockingIOError:
            raise
        except OSError as error:
            self.socket_error = error
            raise
        if len(self.first_bytes) < 8:
            self.first_bytes += data[: 8 - len(self.first_bytes)]
        return data
