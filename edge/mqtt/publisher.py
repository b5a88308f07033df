"""The thread that brings states and stored results to the broker.

On every connection: status, info, state, counters and alerts first, because a broker that was
restarted has lost its retained messages; then the outbox, oldest first. A result leaves the outbox
only when the broker has acknowledged it, so it arrives at least once, and its `msg_id` shows when
it arrives twice.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from edge.config.mqtt import MqttSettings
from edge.errors import EdgeError, PublishError
from edge.messages.identity import Identity
from edge.messages.message import Message
from edge.messages.payload import Payload, encode, status_payload
from edge.messages.state_board import StateBoard
from edge.mqtt.client import Will
from edge.mqtt.credentials import read_signing_key
from edge.mqtt.delivery_proof import DeliveryProof
from edge.mqtt.duplicates import DuplicateWatch
from edge.mqtt.incoming import Incoming, OnCommand
from edge.mqtt.link import Link
from edge.mqtt.reconnection import Reconnection
from edge.mqtt.result_stream import REMOVE_AT, ResultStream
from edge.mqtt.state_stream import StateStream
from edge.mqtt.topics import DELIVERY, Topics
from edge.mqtt.troubles import PublishTroubles
from edge.outputs.outbox import Outbox
from edge.outputs.outbox_report import OutboxReport

log = logging.getLogger(__name__)
CONNECT_TIMEOUT_S = 10.0
FAREWELL_S = 1.0
# amqtt acknowledges before it forwards, and forgets what it has not forwarded when we leave.
LINGER_S = 0.2
HOUSEKEEPING_S = 1.0
FIRST_DELAY_S, LAST_DELAY_S = 1.0, 30.0
# Less than this and not even a plain result passes: better wait than count every one as lost.
LEAST_PACKET_BYTES = 1024


class Publisher:
    """Publishes one station; methods may be called from any thread and do not wait for the net.

    Args:
        settings: the broker.
        identity: who publishes.
        outbox: what to publish; its owner closes it after `stop`.
        states: what to publish besides; `info` and `state` are there from the start.
        version: our version, for the status.
        on_command: gets name, payload and reply address of every live command, in the publisher's
            thread; without it the station hears none.
        on_delivery: gets `proven` or `unproven` when it changes, in the publisher's thread.

    Raises:
        ConfigError: a secret or certificate that the settings name is missing.
    """

    def __init__(
        self,
        settings: MqttSettings,
        identity: Identity,
        outbox: Outbox,
        states: StateBoard,
        *,
        version: str,
        on_command: OnCommand | None = None,
        on_delivery: Callable[[str], None] | None = None,
    ):
        self._identity = identity
        self._outbox = outbox
        self._version = version
        self._topics = Topics(settings.topic_prefix, identity.node, identity.station)
        client_id = settings.client_id or f"edge-infer-{identity.node}-{identity.station}"
        lost = encode(status_payload(identity, "lost", version, socket.gethostname())).encode()
        will = Will(self._topics.of("status"), lost)
        self._link = Link(settings, client_id, will=will, on_message=self._hear)
        result = self._topics.of("result")
        self._proof = DeliveryProof(states, result, settings.probe_interval_s, on_delivery)
        self._duplicates = DuplicateWatch(identity, client_id, states)
        self._reconnection = Reconnection(states, FIRST_DELAY_S, LAST_DELAY_S)
        troubles = PublishTroubles(states)
        self._results = ResultStream(
            self._link,
            outbox,
            result,
            replace(DELIVERY["result"], expiry_s=settings.result_expiry_s),
            (self._topics.of("last"), DELIVERY["last"]) if settings.retain_last_result else None,
            self._proof,
            troubles,
            read_signing_key(settings),
        )
        self._incoming = Incoming(
            self._topics, self._proof, self._results, self._duplicates, on_command
        )
        self._states = states
        states.on_change = outbox.on_held = self._link.wake
        self._state_stream = StateStream(self._link, states, self._topics, troubles, self._proof)
        self._report = OutboxReport(identity, outbox, states)
        self._next_housekeeping = 0.0
        self._problem = "not connected yet"
        self._stop = threading.Event()
        self._deadline = self._end = float("inf")  # of the results, of everything
        self._is_clean = False
        self._online = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mqtt-publisher", daemon=True)
        self.error: Exception | None = None  # a defect of ours that ended the thread
        if settings.tls_insecure:
            states.raise_alert("tls_insecure", "warning", "the broker's name is not checked")

    def start(self) -> None:
        """Begin to connect and publish; an absent broker is retried, results wait in the outbox."""
        self._thread.start()

    @property
    def connected(self) -> bool:
        """The broker is there and has accepted us."""
        return self._online.is_set()

    @property
    def stats(self) -> Payload:
        """The numbers of the connection and the outbox, for the health message."""
        oldest_age_s = 0.0
        with suppress(PublishError):  # a broken outbox is the writer's to report
            oldest_age_s = self._outbox.oldest_age_s()
        return {
            "connected": self.connected,
            "protocol": self._link.protocol,
            "reconnects": self._reconnection.count,
            "published": self._results.published,
            "replayed": self._results.replayed,
            "unacked": self._results.unacked,
            "refused": self._results.refused,
            "unproven": self._proof.unproven,
            "delivery": self._proof.state,
            "replies_refused": self._incoming.replies.refused,
            "lost": self._outbox.lost,
            "spool_rows": self._outbox.depth,
            "spool_bytes": self._outbox.bytes,
            "spool_oldest_age_s": round(oldest_age_s, 1),
        }

    def wake(self) -> None:
        """Say that the outbox has new results."""
        self._link.wake()

    def stop(self, timeout_s: float) -> bool:
        """Deliver what waits, say `stopped`, disconnect; False when results stay in the outbox.

        A third of the time, a second at most, is kept for the farewell.
        """
        self._end = time.monotonic() + timeout_s
        self._deadline = self._end - min(FAREWELL_S, timeout_s / 3)
        self._stop.set()
        self._link.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s + LINGER_S)
        if not self._thread.is_alive():
            self._link.close()
        return self._is_clean

    def _run(self) -> None:
        try:
            while not self._serve():
                has_duplicate = self._duplicates.is_active
                self._stop.wait(self._reconnection.pause_s(has_duplicate=has_duplicate))
        except Exception as error:
            self.error = error
            log.exception("publisher ended")
        finally:
            self._online.clear()
            self._link.drop()  # without a farewell: whoever did not say goodbye leaves a will
            self._link.close()

    def _serve(self) -> bool:
        """Use one connection until it ends; True when there shall be no other."""
        is_last = self._stop.is_set()
        left_s = self._deadline - time.monotonic()
        try:
            self._link.connect(min(CONNECT_TIMEOUT_S, max(0.1, left_s)))
            self._reconnection.began()
            self._session()
        except EdgeError as error:
            self._lost(str(error))
            return is_last
        return True

    def _lost(self, problem: str) -> None:
        self._online.clear()
        if self._link.was_taken_over:
            self._duplicates.taken_over()
        self._reconnection.lost(
            problem, self._state_stream.suspect, has_duplicate=self._duplicates.is_active
        )
        self._link.drop()
        if problem != self._problem:
            log.warning(
                "no broker, results wait in the outbox rows=%d: %s", self._outbox.depth, problem
            )
        self._problem = problem

    def _session(self) -> None:
        link, outbox = self._link, self._outbox
        event = "broker connected broker=%s protocol=%s rows=%d"
        log.info(event, link.address, link.protocol, outbox.depth)
        if 0 < link.max_packet_bytes < LEAST_PACKET_BYTES:
            raise PublishError(
                f"broker {link.address}: takes packets of {link.max_packet_bytes} bytes, expected "
                f"{LEAST_PACKET_BYTES} at least; raise its maximum packet size"
            )
        self._incoming.begin(link)
        self._proof.begin()
        self._state_stream.begin()
        self._put_status("online")
        self._report.put_counters()
        self._states.begin()
        self._problem = ""
        self._results.begin()
        self._online.set()
        while not self._stop.is_set() or (outbox.depth and time.monotonic() < self._deadline):
            self._exchange()
        self._say_goodbye()

    def _exchange(self) -> None:
        """Send what there is, then wait for answers or news."""
        self._state_stream.send()
        if not self._state_stream.is_waiting:
            self._results.fill()
        wait_s = self._next_housekeeping - time.monotonic()
        if self._stop.is_set():
            wait_s = min(wait_s, 0.1)
        self._receive(max(0.0, min(wait_s, HOUSEKEEPING_S)))
        if self._stop.is_set():
            self._results.check(is_last=True)
        self._results.forget(1 if self._stop.is_set() else REMOVE_AT)
        if time.monotonic() >= self._next_housekeeping:
            self._next_housekeeping = time.monotonic() + HOUSEKEEPING_S
            self._do_housekeeping()

    def _receive(self, timeout_s: float) -> None:
        for ack in self._link.poll(timeout_s):
            if not self._results.take(ack):
                self._state_stream.take(ack)

    def _hear(self, message: Message) -> None:
        self._incoming.hear(message)

    def _do_housekeeping(self) -> None:
        self._results.check()
        self._results.forget(1)
        self._report.update()
        self._reconnection.check()
        self._incoming.check(self._link)
        if self._proof.is_probe_due():
            self._report.put_counters()
        if self._duplicates.owes_status():
            self._put_status("online")
        self._states.note_repeats()

    def _say_goodbye(self) -> None:
        """Publish the final counters and, as the very last message, the status."""
        self._results.forget(1)
        self._report.put_counters()
        self._flush()
        self._put_status("stopped")
        self._flush()
        self._is_clean = self._outbox.depth == 0 and not self._link.unacked
        self._online.clear()
        if not self._link.unacked:  # else it may not know that we stopped: let the will say so
            time.sleep(LINGER_S)
            self._link.disconnect()

    def _flush(self) -> None:
        self._state_stream.send()
        while self._link.unacked and time.monotonic() < self._end:
            self._receive(0.1)
            self._state_stream.send()
        self._results.forget(1)

    def _put_status(self, state: str) -> None:
        status = status_payload(self._identity, state, self._version, socket.gethostname())
        self._states.put("status", status)
