"""One connection to a broker at a time: paho speaks the protocol, the rules around it are ours.

Not a thread of its own: whoever owns the link calls `connect`, `publish` and `poll`, and callbacks
run inside `poll`. Every connection gets a fresh paho client, so that paho never repeats a message
behind our back; what has to be sent again comes from the outbox, marked as replayed.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge.config.mqtt import MqttSettings
from edge.errors import PublishError
from edge.messages.message import Ack, OnMessage, OversizeError, Reply
from edge.mqtt import client as paho_rules
from edge.mqtt.client import Will, drop, wait_for
from edge.mqtt.credentials import read_login, tls_context
from edge.mqtt.topics import Delivery

log = logging.getLogger(__name__)
WINDOW = 20
PATIENCE_S = 3.0
_TAKEN_OVER = 142


class Link:
    """A connection that is made, used and lost by its owner's thread; only `wake` is for others.

    Args:
        settings: where and how; secrets are read at every connect and never kept.
        client_id: fixed for a station, so that a new connection ends a stale one.
        will: published by the broker when it loses us.
        on_message: gets every message received.
        resume: keep the session for an hour over a lost connection (MQTT 5).

    Raises:
        ConfigError: a secret or certificate that the settings name is missing.
    """

    def __init__(
        self,
        settings: MqttSettings,
        client_id: str,
        *,
        will: Will | None = None,
        on_message: OnMessage | None = None,
        resume: bool = True,
    ):
        read_login(settings)
        tls_context(settings)
        self._settings = settings
        self._client_id = client_id
        self._will = will
        self._on_message = on_message
        self._resume = resume
        self._client: paho.Client | None = None
        self._connack: ReasonCode | None = None
        self._end = ""
        self._needs_subscription = True
        self._acks: list[Ack] = []
        self._unacked: set[int] = set()
        self._max_packet_bytes = 0
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_r.setblocking(False)
        self._wake_w.setblocking(False)
        # The embedded broker is known to speak 3.1.1 only.
        self.protocol: str = "3.1.1" if settings.broker == "embedded" else settings.protocol
        self.window = WINDOW
        self.address = f"{'mqtts' if settings.tls else 'mqtt'}://{settings.host}:{settings.port}"

    @property
    def connected(self) -> bool:
        """The broker has accepted the connection and it has not been lost since."""
        client = self._client
        return client is not None and client.is_connected()

    @property
    def unacked(self) -> int:
        """QoS 1 messages on their way."""
        return len(self._unacked)

    @property
    def has_room(self) -> bool:
        """Another QoS 1 message may be on its way."""
        return len(self._unacked) < self.window

    def connect(self, timeout_s: float = 10.0) -> None:
        """Connect and wait for the broker's consent; falls back from MQTT 5 to 3.1.1 if it must.

        Raises:
            PublishError: no connection within `timeout_s`, or a refusal.
            ConfigError: a secret or certificate is no longer there.
        """
        deadline = time.monotonic() + timeout_s
        answer = self._ask(min(deadline, time.monotonic() + PATIENCE_S))
        if answer is None and self.protocol == "5":
            # Some old brokers read our properties as garbage and fall silent, but refuse a CONNECT
            # without any as they should.
            bare = self._ask(min(deadline, time.monotonic() + PATIENCE_S), is_bare=True)
            answer = bare if paho_rules.is_old(bare) else self._ask(deadline)
        if self.protocol == "5" and paho_rules.is_old(answer):
            log.warning("broker speaks no MQTT 5, using 3.1.1 broker=%s", self.address)
            self.protocol = "3.1.1"
            answer = self._ask(deadline)
        self._check(answer)

    def publish(
        self,
        topic: str,
        payload: bytes,
        delivery: Delivery,
        user: Mapping[str, str] | None = None,
        reply: Reply | None = None,
    ) -> int:
        """Send a message and return its id, which an `Ack` will repeat for QoS 1.

        `reply` asks for an answer there or, in an answer, repeats what was asked for (MQTT 5).

        Raises:
            OversizeError: nothing was sent.
            PublishError: the connection is gone.
        """
        client = self._alive()
        properties, packed = None, 0
        if self.protocol == "5":
            properties = paho_rules.message_properties(
                PacketTypes.PUBLISH, delivery.expiry_s, user, reply
            )
            packed = len(properties.pack())
        size = len(payload) + len(topic.encode()) + packed + 9  # length, topic length, id
        if self._max_packet_bytes and size > self._max_packet_bytes:
            raise OversizeError(
                f"{topic}: {size} bytes, the broker takes {self._max_packet_bytes}; raise its "
                f"maximum packet size"
            )
        info = client.publish(topic, payload, delivery.qos, delivery.retain, properties)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise PublishError(f"broker {self.address}: cannot send: {paho.error_string(info.rc)}")
        if delivery.qos:
            self._unacked.add(info.mid)
        return info.mid

    def subscribe(self, filters: Sequence[str], *, is_needed: bool = True) -> None:
        """Ask for messages at QoS 1; their retain flag tells stored ones from live ones.

        A refusal ends the connection, or is logged when nothing else depends on the messages.

        Raises:
            PublishError: the connection is gone.
        """
        self._needs_subscription = is_needed
        how: Any = SubscribeOptions(qos=1) if self.protocol == "5" else 1
        rc, _ = self._alive().subscribe([(name, how) for name in filters])
        if rc != paho.MQTT_ERR_SUCCESS:
            raise PublishError(f"broker {self.address}: cannot subscribe: {paho.error_string(rc)}")

    def poll(self, timeout_s: float) -> list[Ack]:
        """Move bytes both ways, waiting up to `timeout_s` for some; return the acknowledgements.

        Raises:
            PublishError: the connection is gone and every acknowledgement has been returned.
        """
        self._step(timeout_s)
        acks, self._acks = self._acks, []
        if not acks:
            self._alive()
        return acks

    def wake(self) -> None:
        """Make a waiting `poll` return; for other threads."""
        with suppress(OSError):  # full: it will wake anyway; closed: nobody waits
            self._wake_w.send(b"\0")

    def disconnect(self, timeout_s: float = 1.0) -> None:
        """End the connection in order, so that the broker forgets the will."""
        client, self._client = self._client, None
        if client is None:
            return
        deadline = time.monotonic() + timeout_s
        client.disconnect()
        while (sock := client.socket()) is not None and time.monotonic() < deadline:
            wait_for(sock, None, 0.05, is_writing=True)
            client.loop_write()
        drop(client)

    def drop(self) -> None:
        """End the connection without a farewell, so that the broker publishes the will."""
        client, self._client = self._client, None
        if client is not None:
            drop(client)

    def close(self) -> None:
        """Disconnect and free everything; the link cannot be used again."""
        self.disconnect()
        self._wake_r.close()
        self._wake_w.close()

    def _ask(self, deadline: float, *, is_bare: bool = False) -> ReasonCode | None:
        """Send CONNECT and return the broker's answer, None when it gives none in time."""
        self.drop()
        self._connack, self._end, self._acks = None, "connection lost", []
        self._unacked.clear()
        settings = self._settings
        if is_bare:
            client = paho_rules.bare_client(settings)
        else:
            client = paho_rules.new_client(settings, self._client_id, self.protocol, self._will)
        self._client = client
        client.connect_timeout = max(0.1, min(5.0, deadline - time.monotonic()))
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_paho_message
        is_resumed = self._resume and self.protocol == "5" and not is_bare
        session = paho_rules.resumed_session() if is_resumed else {}
        try:
            client.connect(settings.host, settings.port, settings.keepalive_s, **session)
        except (OSError, ValueError) as error:
            # paho leaves its socket to the garbage collector, which the traceback would keep off.
            cause = error.with_traceback(None)
            raise PublishError(f"broker {self.address}: {paho_rules.advice(cause)}") from cause
        while self._connack is None and client.socket() is not None:
            if time.monotonic() >= deadline:
                break
            self._step(0.2)
        return self._connack

    def _check(self, answer: ReasonCode | None) -> None:
        """Turn the broker's answer, or its silence, into an error unless it is consent."""
        if answer is not None and not answer.is_failure:
            return
        self.drop()
        raise PublishError(f"broker {self.address}: {paho_rules.refusal(answer)}")

    def _step(self, timeout_s: float) -> None:
        client = self._client
        sock = client.socket() if client else None
        if client is None or sock is None:
            return
        readable, writable = wait_for(sock, self._wake_r, timeout_s, is_writing=client.want_write())
        if readable:
            client.loop_read()
        if writable:
            client.loop_write()
        client.loop_misc()

    def _alive(self) -> paho.Client:
        if self._client is None or self._client.socket() is None:
            raise PublishError(f"broker {self.address}: {self._end}")
        return self._client

    def _on_connect(
        self, _c: paho.Client, _u: Any, _f: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._connack = reason
        self.window = min(WINDOW, getattr(properties, "ReceiveMaximum", WINDOW))
        self._max_packet_bytes = getattr(properties, "MaximumPacketSize", 0)

    def _on_disconnect(
        self, _c: paho.Client, _u: Any, flags: Any, reason: ReasonCode, _p: Properties | None
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            hint = f"; another process uses client id {self._client_id}"
            taken = hint if reason.value == _TAKEN_OVER else ""
            self._end = f"ended the connection: {reason}{taken}"

    def _on_publish(
        self, _c: paho.Client, _u: Any, mid: int, reason: ReasonCode, _p: Properties | None
    ) -> None:
        if mid in self._unacked:  # QoS 0 is reported too, once it is written
            self._unacked.discard(mid)
            self._acks.append(Ack(mid, reason.value, str(reason)))

    def _on_subscribe(
        self, _c: paho.Client, _u: Any, _m: int, reasons: list[ReasonCode], _p: Properties | None
    ) -> None:
        refusal = next((reason for reason in reasons if reason.is_failure), None)
        text = f"refuses the subscription: {refusal}; check the broker's ACL"
        if refusal is not None and self._needs_subscription:
            self._end = text
            self.drop()
        elif refusal is not None:
            log.warning("broker %s: %s", self.address, text)

    def _on_paho_message(self, _c: paho.Client, _u: Any, message: paho.MQTTMessage) -> None:
        received = paho_rules.received(message)
        if self._on_message is not None and received is not None:
            self._on_message(received)
