"""What we need of paho, in our terms: a client made to our rules, its properties, its errors."""

from __future__ import annotations

import logging
import select
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.config.mqtt import MqttSettings
from edge.messages.message import Message, Reply
from edge.mqtt.credentials import read_login, tls_context
from edge.mqtt.guarded_client import MAX_PACKET_BYTES, GuardedClient

log = logging.getLogger(__name__)
SESSION_EXPIRY_S = 3600
WILL_DELAY_S = 5
_LONGEST_EXPIRY_S = 2**32 - 1  # what MQTT 5 can say: 136 years


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when it loses us."""

    topic: str
    payload: bytes


def new_client(
    settings: MqttSettings, client_id: str, protocol: str, will: Will | None
) -> GuardedClient:
    """Make an unconnected client that never reconnects or repeats by itself."""
    is_v5 = protocol == "5"
    client = GuardedClient(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        # A 3.1.1 session would stay in the broker for ever, and there is nothing in it.
        clean_session=None if is_v5 else True,
        protocol=paho.MQTTv5 if is_v5 else paho.MQTTv311,
        reconnect_on_failure=False,
    )
    client.max_queued_messages_set(100)  # the link's window keeps far below it
    user, password = read_login(settings)
    if user or password:
        client.username_pw_set(user or "", password)
    context = tls_context(settings)
    if context is not None:
        client.tls_set_context(context)
    if will is not None:
        properties = message_properties(PacketTypes.WILLMESSAGE) if is_v5 else None
        if properties is not None:
            properties.WillDelayInterval = WILL_DELAY_S
        client.will_set(will.topic, will.payload, 1, True, properties)
    return client


def bare_client(settings: MqttSettings) -> GuardedClient:
    """Make a client that only asks whether the broker speaks MQTT 5: no name, login or will."""
    client = GuardedClient(
        CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5, reconnect_on_failure=False
    )
    context = tls_context(settings)
    if context is not None:
        client.tls_set_context(context)
    return client


def resumed_session() -> dict[str, Any]:
    """Return the MQTT 5 arguments of `connect` that keep the session for an hour; and our limit."""
    properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    return {"clean_start": False, "properties": properties}


def message_properties(
    packet: int,
    expiry_s: float | None = None,
    user: Mapping[str, str] | None = None,
    reply: Reply | None = None,
) -> Any:
    """Make the MQTT 5 properties of a JSON message or will."""
    properties: Any = Properties(packet)  # type: ignore[no-untyped-call]
    properties.ContentType = "application/json"
    properties.PayloadFormatIndicator = 1
    if expiry_s is not None:
        properties.MessageExpiryInterval = int(max(1, min(expiry_s, _LONGEST_EXPIRY_S)))
    if user:
        properties.UserProperty = list(user.items())
    if reply is not None and reply.topic:
        properties.ResponseTopic = reply.topic
    if reply is not None and reply.correlation is not None:
        properties.CorrelationData = reply.correlation
    return properties


def received(message: paho.MQTTMessage) -> Message | None:
    """Translate a message; None for one whose topic is not UTF-8, which MQTT forbids."""
    try:
        topic = message.topic
    except UnicodeDecodeError:
        log.warning("message ignored: its topic is not UTF-8")
        return None
    return Message(topic, bytes(message.payload), message.retain, _reply_of(message))


def _reply_of(message: paho.MQTTMessage) -> Reply | None:
    """Return where the sender wants an answer, None when it does not say (or speaks 3.1.1)."""
    topic = getattr(message.properties, "ResponseTopic", None)
    return Reply(topic, getattr(message.properties, "CorrelationData", None)) if topic else None


def wait_for(
    sock: Any, wake: socket.socket | None, timeout_s: float, *, is_writing: bool
) -> tuple[bool, bool]:
    """Wait until the socket can be read or written, or someone wakes us."""
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        timeout_s = 0.0  # already decrypted: the kernel has nothing to report
    waiter = select.poll()
    waiter.register(sock, select.POLLIN | (select.POLLOUT if is_writing else 0))
    if wake is not None:
        waiter.register(wake, select.POLLIN)
    events = dict(waiter.poll(timeout_s * 1000))
    if wake is not None and wake.fileno() in events:
        wake.recv(4096)
    seen = events.get(sock.fileno(), 0)
    return bool(seen & ~select.POLLOUT) or timeout_s == 0, bool(seen & select.POLLOUT)
