"""One connection from CONNECT to its end: what is sent, what comes back, and why it ended.

paho's callbacks run inside `step`. Messages and acknowledgements are kept until their owner takes
them, so that an error of the owner is never taken for one of the broker.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge.errors import PublishError
from edge.messages.message import Ack, Message, OversizeError, Reply, UnsendableError
from edge.mqtt.client import message_properties, received, wait_for
from edge.mqtt.guarded_client import GuardedClient
from edge.mqtt.topics import Delivery

WINDOW = 20
# A broker that answers pings and acknowledges nothing for so long is given up.
ACK_PATIENCE_S = 60.0
_TAKEN_OVER = 142


class Connection:
    """Wraps a client that has not connected yet; for one thread.

    Args:
        client: speaks the protocol.
        name: of the broker, for messages.
        client_id: ours, for messages.
        wake: readable when a waiting `step` shall return.
        is_v5: the client speaks MQTT 5.
    """

    def __init__(
        self, client: GuardedClient, name: str, client_id: str, wake: socket.socket, *, is_v5: bool
    ):
        self.client = client
        self._name = name
        self._client_id = client_id
        self._wake = wake
        self._is_v5 = is_v5
        self._asked: dict[int, tuple[Sequence[str], bool]] = {}  # id -> filters, whether needed
        self._progress_s = 0.0
        self.answer: ReasonCode | None = None  # to CONNECT
        self.end = "connection lost"
        self.is_taken_over = False
        self.refused_filters: dict[str, str] = {}  # filter -> the broker's reason
        self.unacked: set[int] = set()
        self.acks: list[Ack] = []
        self.messages: list[Message] = []
        self.window = WINDOW
        self.max_packet_bytes = 0  # 0: the broker has announced no limit
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message

    @property
    def is_open(self) -> bool:
        """There is a socket, whether or not the broker has answered."""
        return self.client.socket() is not None

    def publish(
        self,
        topic: str,
        payload: bytes,
        delivery: Delivery,
        user: Mapping[str, str] | None,
        reply: Reply | None,
    ) -> int:
        """Send a message and return its id.

        Raises:
            UnsendableError: nothing was sent: too large, or no MQTT message can hold it.
            PublishError: the connection is gone.
        """
        self.check()
        try:
            properties = self._properties(delivery, user, reply)
            packed = len(properties.pack()) if properties is not None else 0
            size = len(payload) + len(topic.encode()) + packed + 9  # length, topic length, id
            if self.max_packet_bytes and size > self.max_packet_bytes:
                raise OversizeError(
                    f"{topic}: {size} bytes, the broker takes {self.max_packet_bytes}; raise its "
                    f"maximum packet size"
                )
            info = self.client.publish(topic, payload, delivery.qos, delivery.retain, properties)
        except OversizeError:
            raise
        except (ValueError, TypeError, struct.error, MQTTException) as error:
            raise UnsendableError(f"{topic!r}: no MQTT message: {error}") from error
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise PublishError(f"broker {self._name}: cannot send: {paho.error_string(info.rc)}")
        if delivery.qos:
            if not self.unacked:
                self._progress_s = time.monotonic()
            self.unacked.add(info.mid)
        return info.mid

    def subscribe(self, filters: Sequence[str], qos: int, *, is_needed: bool) -> None:
        """Ask for messages; a refusal ends the connection only if they are needed.

        Raises:
            PublishError: the connection is gone.
        """
        self.check()
        how: Any = SubscribeOptions(qos=qos) if self._is_v5 else qos
        rc, mid = self.client.subscribe([(name, how) for name in filters])
        if rc != paho.MQTT_ERR_SUCCESS or mid is None:
            raise PublishError(f"broker {self._name}: cannot subscribe: {paho.error_string(rc)}")
        self._asked[mid] = (filters, is_needed)

    def step(self, timeout_s: float) -> None:
        """Move bytes both ways, waiting up to `timeout_s` for some."""
        client = self.client
        sock = client.socket()
        if sock is None:
            return
        readable, writable = wait_for(sock, self._wake, timeout_s, is_writing=client.want_write())
        if readable:
            client.read()
        if writable:
            client.loop_write()
        client.loop_misc()
        if client.fault:
            self.end = client.fault
        elif self.unacked and time.monotonic() - self._progress_s > ACK_PATIENCE_S:
            self.end = f"acknowledges nothing for {ACK_PATIENCE_S:g} s"
            client.close_socket()

    def check(self) -> None:
        """Raise PublishError when the connection is gone."""
        if not self.is_open:
            raise PublishError(f"broker {self._name}: {self.end}")

    def disconnect(self, timeout_s: float) -> None:
        """End the connection in order, so that the broker forgets the will."""
        deadline = time.monotonic() + timeout_s
        self.client.disconnect()
        while (sock := self.client.socket()) is not None and time.monotonic() < deadline:
            wait_for(sock, None, 0.05, is_writing=True)
            self.client.loop_write()
        self.drop()

    def drop(self) -> None:
        """End the connection without a farewell, so that the broker publishes the will."""
        self.client.close_socket()

    def _properties(
        self, delivery: Delivery, user: Mapping[str, str] | None, reply: Reply | None
    ) -> Any:
        if not self._is_v5:
            return None
        return message_properties(PacketTypes.PUBLISH, delivery.expiry_s, user, reply)

    def _on_connect(
        self, _c: paho.Client, _u: Any, _f: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self.answer = reason
        self.window = max(1, min(WINDOW, getattr(properties, "ReceiveMaximum", WINDOW)))
        self.max_packet_bytes = getattr(properties, "MaximumPacketSize", 0)

    def _on_disconnect(
        self, _c: paho.Client, _u: Any, flags: Any, reason: ReasonCode, _p: Properties | None
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self.is_taken_over = reason.value == _TAKEN_OVER
            hint = f"; another process uses client id {self._client_id}"
            self.end = f"ended the connection: {reason}{hint if self.is_taken_over else ''}"

    def _on_publish(
        self, _c: paho.Client, _u: Any, mid: int, reason: ReasonCode, _p: Properties | None
    ) -> None:
        if mid in self.unacked:  # QoS 0 is reported too, once it is written
            self.unacked.discard(mid)
            self._progress_s = time.monotonic()
            self.acks.append(Ack(mid, reason.value, str(reason)))

    def _on_subscribe(
        self, _c: paho.Client, _u: Any, mid: int, reasons: list[ReasonCode], _p: Properties | None
    ) -> None:
        filters, is_needed = self._asked.pop(mid, ((), False))
        refused = {
            name: str(reason)
            for name, reason in zip(filters, reasons, strict=False)
            if reason.is_failure
        }
        self.refused_filters |= refused
        if refused and is_needed:
            reason = next(iter(refused.values()))
            self.end = f"refuses the subscription: {reason}; check the broker's ACL"
            self.drop()

    def _on_message(self, _c: paho.Client, _u: Any, message: paho.MQTTMessage) -> None:
        translated = received(message)
        if translated is not None:
            self.messages.append(translated)
