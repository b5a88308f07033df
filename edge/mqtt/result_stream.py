"""Sends stored results in order, a window at a time, and removes them once acknowledged."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from contextlib import suppress

from edge.errors import PublishError
from edge.messages.message import Ack, OversizeError
from edge.messages.payload import Payload, encode
from edge.mqtt.link import Link
from edge.mqtt.topics import Delivery
from edge.outputs.outbox import Outbox, Row

log = logging.getLogger(__name__)
PAGE = 100
REMOVE_AT = 50
FIRST_HOLD_S, LAST_HOLD_S = 1.0, 30.0
# Refusals (MQTT 5) that no repetition can cure: topic invalid, too large, payload invalid.
_HOPELESS = (0x90, 0x95, 0x99)
# A broker that announces no limit cuts the connection at an oversize packet. A result of this size
# that was alone on its way at so many cuts is taken to be the cause.
_SUSPECT_BYTES, _SUSPECT_CUTS = 64 * 1024, 3


class ResultStream:
    """Sends the outbox over a link; used by the publisher's thread only.

    Args:
        link: the connection; `begin` says when it is a new one.
        outbox: where results come from and are removed.
        topic: of results.
        delivery: how results travel.
        last: topic and delivery of the newest result for late joiners, None to leave it out.
    """

    def __init__(
        self,
        link: Link,
        outbox: Outbox,
        topic: str,
        delivery: Delivery,
        last: tuple[str, Delivery] | None,
    ):
        self._link = link
        self._outbox = outbox
        self._topic = topic
        self._delivery = delivery
        self._last = last
        self._rows: deque[Row] = deque()
        self._cursor = 0  # the newest seq sent over this connection
        self._replay_to = 0  # results up to this one are sent again, or waited for a connection
        self._in_flight: dict[int, int] = {}  # message id -> seq
        self._acked: list[int] = []
        self._has_progress = True
        self._cuts = 0  # connections in a row that ended without one acknowledgement
        self._held_until = 0.0
        self._hold_s = FIRST_HOLD_S
        self.published = self.replayed = self.refused = 0

    @property
    def unacked(self) -> int:
        """Results on their way."""
        return len(self._in_flight)

    def begin(self) -> None:
        """Start from the oldest result over a new connection."""
        self._cuts = self._cuts + 1 if self._in_flight and not self._has_progress else 0
        self._has_progress = False
        self._in_flight.clear()
        self._rows.clear()
        self._cursor, self._replay_to = 0, self._outbox.last_seq
        self._held_until = 0.0

    def fill(self) -> None:
        """Send results while the window has room.

        Raises:
            PublishError: the connection or the outbox failed.
        """
        while time.monotonic() >= self._held_until and self._has_room() and self._load():
            self._send(self._rows.popleft())

    def take(self, ack: Ack) -> bool:
        """Note the broker's answer; False when it belongs to another message than a result."""
        seq = self._in_flight.pop(ack.mid, None)
        if seq is None:
            return False
        if ack.reason < 128:
            self._has_progress = True
            self._hold_s = FIRST_HOLD_S
            self._acked.append(seq)
            self.published += 1
            self.replayed += seq <= self._replay_to
        elif ack.reason in _HOPELESS:
            self._give_up(seq, f"the broker refuses it: {ack.text}")
        else:
            self._hold(seq, ack.text)
        return True

    def forget(self, at_least: int = REMOVE_AT) -> None:
        """Remove acknowledged results from the outbox, many at once because each call writes."""
        if len(self._acked) < at_least:
            return
        try:
            while self._acked:
                self._outbox.remove(self._acked[:PAGE])
                del self._acked[:PAGE]
        except PublishError as error:  # a full disk; they are not sent again before a restart
            log.debug("delivered results not removed yet count=%d: %s", len(self._acked), error)

    def _has_room(self) -> bool:
        # After a cut without progress one at a time: that shows which result the broker dislikes.
        return self._link.has_room and not (self._cuts and self._in_flight)

    def _load(self) -> bool:
        """Read the next page if none is loaded; tell whether there is something to send."""
        newest = self._outbox.last_seq
        while not self._rows and self._cursor < newest:
            page = self._outbox.pending(self._cursor, PAGE)
            if not page:
                self._cursor = newest
                break
            done = {*self._acked, *self._in_flight.values()}
            self._rows.extend(row for row in page if row.seq not in done)
            self._cursor = self._rows[0].seq - 1 if self._rows else page[-1].seq
        return bool(self._rows)

    def _send(self, row: Row) -> None:
        self._cursor = row.seq
        payload: Payload = json.loads(row.payload)
        payload["is_replayed"] = row.seq <= self._replay_to
        data = encode(payload).encode()
        if len(data) > _SUSPECT_BYTES and self._cuts >= _SUSPECT_CUTS:
            self._give_up(row.seq, f"the broker ended {self._cuts} connections over it")
            return
        user = {
            "schema": payload["schema"],
            "msg_id": payload["msg_id"],
            "seq": str(row.seq),
            "result": payload["result"],
            "replayed": "true" if payload["is_replayed"] else "false",
        }
        try:
            mid = self._link.publish(self._topic, data, self._delivery, user)
        except OversizeError as error:
            self._give_up(row.seq, str(error))
            return
        self._in_flight[mid] = row.seq
        if self._last and row.seq == self._outbox.last_seq:
            with suppress(OversizeError):
                self._link.publish(self._last[0], data, self._last[1], user)

    def _give_up(self, seq: int, reason: str) -> None:
        log.error("result lost seq=%d: %s", seq, reason)
        self._cuts = 0
        self._outbox.remove([seq], lost=True)

    def _hold(self, seq: int, reason: str) -> None:
        """Pause after a refusal that may pass, such as a missing right or a quota."""
        self.refused += 1
        if time.monotonic() >= self._held_until:
            log.warning(
                "broker refuses results retry_s=%g topic=%s: %s", self._hold_s, self._topic, reason
            )
            self._held_until = time.monotonic() + self._hold_s
            self._hold_s = min(2 * self._hold_s, LAST_HOLD_S)
        self._replay_to = max(self._replay_to, self._cursor)
        self._cursor = min(self._cursor, seq - 1)
        self._rows.clear()
