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
from paho.mqtt.reasoncodes import ReasonCode

from edge.config.mqtt import MqttSettings
from edge.messages.message import Message, Reply
from edge.mqtt.credentials import read_login, tls_context

log = logging.getLogger(__name__)
SESSION_EXPIRY_S = 3600
WILL_DELAY_S = 5
_UNSUPPORTED_VERSION = 132
_REFUSED_LOGIN = (134, 135)  # bad user name or password, not authorised


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when it loses us."""

    topic: str
    payload: bytes


def new_client(
    settings: MqttSettings, client_id: str, protocol: str, will: Will | None
) -> paho.Client:
    """Make an unconnected client that never reconnects or repeats by itself."""
    is_v5 = protocol == "5"
    client = paho.Client(
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


def bare_client(settings: MqttSettings) -> paho.Client:
    """Make a client that only asks whether the broker speaks MQTT 5: no name, login or will."""
    client = paho.Client(
        CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5, reconnect_on_failure=False
    )
    context = tls_context(settings)
    if context is not None:
        client.tls_set_context(context)
    return client


def resumed_session() -> dict[str, Any]:
    """Return the MQTT 5 arguments of `connect` that keep the session for an hour."""
    properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
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
        properties.MessageExpiryInterval = int(expiry_s)
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


def drop(client: paho.Client) -> None:
    """Close the socket without a farewell; the broker then publishes the will."""
    sock = client.socket()
    if sock is not None:
        sock.close()


def advice(error: Exception) -> str:
    """Say in one line why a connection could not be made and what to check."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is refused: {error.verify_message}; check tls_ca_certs, and that "
            f"host is a name in the certificate"
        )
    if isinstance(error, ssl.SSLError):
        return f"no TLS connection: {error.reason or error}; check tls, port and client certificate"
    if isinstance(error, TimeoutError):
        return "no answer in time; check host, port and network"
    text = getattr(error, "strerror", None) or error
    return f"cannot connect: {text}; check host, port and tls, and that the broker runs"


def is_old(answer: ReasonCode | None) -> bool:
    """Tell whether the broker answered that it does not speak our protocol version."""
    return answer is not None and answer.value == _UNSUPPORTED_VERSION


def refusal(answer: ReasonCode | None) -> str:
    """Say in one line what the broker's refusal, or its silence, means."""
    if answer is None:
        return "expected an MQTT broker, got no answer to CONNECT; check host, port and tls"
    what = "check user and password" if answer.value in _REFUSED_LOGIN else "see its log"
    return f"refuses the connection: {answer}; {what}"
