"""One connection to a broker at a time: paho speaks the protocol, the rules around it are ours.

Not a thread of its own: whoever owns the link calls `connect`, `publish` and `poll`, and callbacks
run inside `poll`. Every connection gets a fresh paho client, so that paho never repeats a message
behind our back; what has to be sent again comes from the outbox, marked as replayed.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from paho.mqtt.reasoncodes import ReasonCode

from edge.config.mqtt import MqttSettings
from edge.errors import PublishError
from edge.messages.message import Ack, OnMessage, Reply
from edge.mqtt import diagnosis
from edge.mqtt.client import Will, bare_client, new_client, resumed_session
from edge.mqtt.connection import WINDOW, Connection
from edge.mqtt.credentials import read_login, tls_context
from edge.mqtt.topics import Delivery

log = logging.getLogger(__name__)
PATIENCE_S = 3.0


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
        self._will = will
        self._on_message = on_message
        self._resume = resume
        self._connection: Connection | None = None
        self._has_consent = False
        self._told_refusals: set[str] = set()
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_r.setblocking(False)
        self._wake_w.setblocking(False)
        # The embedded broker is known to speak 3.1.1 only.
        self.protocol: str = "3.1.1" if settings.broker == "embedded" else settings.protocol
        self.client_id = client_id
        self.address = f"{'mqtts' if settings.tls else 'mqtt'}://{settings.host}:{settings.port}"

    @property
    def connected(self) -> bool:
        """The broker has accepted the connection and it has not been lost since."""
        return self._has_consent and self._connection is not None and self._connection.is_open

    @property
    def is_v5(self) -> bool:
        """The broker speaks MQTT 5: it says what it refuses."""
        return self.protocol == "5"

    @property
    def unacked(self) -> int:
        """QoS 1 messages on their way."""
        return len(self._connection.unacked) if self._connection else 0

    @property
    def window(self) -> int:
        """QoS 1 messages that may be on their way at once."""
        return self._connection.window if self._connection else WINDOW

    @property
    def has_room(self) -> bool:
        """Another QoS 1 message may be on its way."""
        return self.unacked < self.window

    @property
    def max_packet_bytes(self) -> int:
        """The largest packet the broker takes, 0 when it has announced no limit."""
        return self._connection.max_packet_bytes if self._connection else 0

    @property
    def was_taken_over(self) -> bool:
        """The broker has ended the connection for another one with our client id (MQTT 5)."""
        return self._connection is not None and self._connection.is_taken_over

    @property
    def refused_filters(self) -> Mapping[str, str]:
        """Subscriptions that the broker has refused, and why."""
        return self._connection.refused_filters if self._connection else {}

    def connect(self, timeout_s: float = 10.0) -> None:
        """Connect and wait for the broker's consent; falls back from MQTT 5 to 3.1.1 if it must.

        Raises:
            PublishError: no connection within `timeout_s`, or a refusal.
            ConfigError: a secret or certificate is no longer there.
        """
        deadline = time.monotonic() + timeout_s
        answer = self._ask(min(deadline, time.monotonic() + PATIENCE_S))
        if answer is None and self.protocol == "5" and not self._is_sure_of_failure():
            # Some old brokers read our properties as garbage and fall silent, but refuse a CONNECT
            # without any as they should.
            bare = self._ask(min(deadline, time.monotonic() + PATIENCE_S), is_bare=True)
            answer = bare if diagnosis.is_old(bare) else self._ask(deadline)
        if self.protocol == "5" and diagnosis.is_old(answer):
            log.warning("broker speaks no MQTT 5, using 3.1.1 broker=%s", self.address)
            self.protocol = "3.1.1"
            answer = self._ask(deadline)
        self._check(answer)
        self._has_consent = True

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
            UnsendableError: nothing was sent; OversizeError when the broker takes less.
            PublishError: the connection is gone.
        """
        return self._current().publish(topic, payload, delivery, user, reply)

    def subscribe(self, filters: Sequence[str], *, qos: int = 1, is_needed: bool = True) -> None:
        """Ask for messages; their retain flag tells stored ones from live ones.

        A refusal ends the connection, or is logged once when nothing else depends on the messages.

        Raises:
            PublishError: the connection is gone.
        """
        self._current().subscribe(filters, qos, is_needed=is_needed)

    def poll(self, timeout_s: float) -> list[Ack]:
        """Move bytes both ways, waiting up to `timeout_s` for some; return the acknowledgements.

        Raises:
            PublishError: the connection is gone and every acknowledgement has been returned.
        """
        connection = self._current()
        connection.step(timeout_s)
        messages, connection.messages = connection.messages, []
        for message in messages:
            if self._on_message is not None:
                self._on_message(message)
        self._tell_refusals(connection)
        acks, connection.acks = connection.acks, []
        if not acks:
            connection.check()
        return acks

    def wake(self) -> None:
        """Make a waiting `poll` return; for other threads."""
        with suppress(OSError):  # full: it will wake anyway; closed: nobody waits
            self._wake_w.send(b"\0")

    def disconnect(self, timeout_s: float = 1.0) -> None:
        """End the connection in order, so that the broker forgets the will."""
        connection, self._connection, self._has_consent = self._connection, None, False
        if connection is not None:
            connection.disconnect(timeout_s)

    def drop(self) -> None:
        """End the connection without a farewell, so that the broker publishes the will."""
        connection, self._connection, self._has_consent = self._connection, None, False
        if connection is not None:
            connection.drop()

    def close(self) -> None:
        """Disconnect and free everything; the link cannot be used again."""
        self.disconnect()
        self._wake_r.close()
        self._wake_w.close()

    def _ask(self, deadline: float, *, is_bare: bool = False) -> ReasonCode | None:
        """Send CONNECT and return the broker's answer, None when it gives none in time."""
        self.drop()
        settings, is_v5 = self._settings, self.protocol == "5"
        if is_bare:
            client = bare_client(settings)
        else:
            client = new_client(settings, self.client_id, self.protocol, self._will)
        client.connect_timeout = max(0.1, min(5.0, deadline - time.monotonic()))
        connection = Connection(client, self.address, self.client_id, self._wake_r, is_v5=is_v5)
        self._connection = connection
        # Without a session no properties at all: old brokers answer such a CONNECT at once.
        options = resumed_session() if self._resume and is_v5 and not is_bare else {}
        try:
            client.connect(settings.host, settings.port, settings.keepalive_s, **options)
        except (OSError, ValueError) as error:
            # paho leaves its socket to the garbage collector, which the traceback would keep off.
            cause = error.with_traceback(None)
            why = diagnosis.why_not_connected(
                cause, has_certificate=settings.tls_client_cert is not None, is_tls=settings.tls
            )
            raise PublishError(f"broker {self.address}: {why}") from cause
        while connection.answer is None and connection.is_open:
            if time.monotonic() >= deadline:
                break
            connection.step(0.2)
        return connection.answer

    def _is_sure_of_failure(self) -> bool:
        """Tell whether asking in another protocol version cannot help."""
        connection = self._connection
        return connection is not None and bool(connection.client.socket_error)

    def _check(self, answer: ReasonCode | None) -> None:
        """Turn the broker's answer, or its silence, into an error unless it is consent."""
        if answer is not None and not answer.is_failure:
            return
        why = diagnosis.why_refused(answer) if answer is not None else self._why_silent()
        self.drop()
        raise PublishError(f"broker {self.address}: {why}")

    def _why_silent(self) -> str:
        connection, settings = self._current(), self._settings
        client, is_closed = connection.client, not connection.is_open
        context = tls_context(settings)
        if is_closed and context is not None and not isinstance(client.socket_error, ssl.SSLError):
            reason = diagnosis.tls_refusal(settings.host, settings.port, context)
            client.socket_error = reason or client.socket_error
        return diagnosis.why_silent(
            client,
            has_certificate=settings.tls_client_cert is not None,
            is_tls=settings.tls,
            is_closed=is_closed,
        )

    def _tell_refusals(self, connection: Connection) -> None:
        for name, reason in connection.refused_filters.items():
            if name not in self._told_refusals:
                self._told_refusals.add(name)
                text = "broker %s: refuses the subscription: %s filter=%s; check the broker's ACL"
                log.warning(text, self.address, reason, name)

    def _current(self) -> Connection:
        if self._connection is None:
            raise PublishError(f"broker {self.address}: connection lost")
        return self._connection
