"""Sends stored results in order, a window at a time, and removes them once delivered.

Delivered is what the broker has acknowledged and, where the station can hear its own results, what
has come back from the broker too.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from contextlib import suppress

from edge.errors import PublishError
from edge.messages.message import Ack, UnsendableError
from edge.messages.signature import SigningKey
from edge.mqtt.delivery_proof import ECHO_S, DeliveryProof
from edge.mqtt.link import Link
from edge.mqtt.result_message import result_message
from edge.mqtt.topics import Delivery
from edge.mqtt.troubles import PublishTroubles
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
# A smaller one may be innocent: it is kept and tried again later, after the others.
ASIDE_S = 600.0
# One that did not come back is tried again sooner, and at once when others do come back.
MISSED_S = 30.0
# Results that were acknowledged and have not come back yet; more would only fill memory.
_MOST_UNHEARD = 200
# So often a result may fail to come back while others do; then it is given up.
_MOST_MISSES = 3


class ResultStream:
    """Sends the outbox over a link; used by the publisher's thread only.

    Args:
        link: the connection; `begin` says when it is a new one.
        outbox: where results come from and are removed.
        topic: of results.
        delivery: how results travel.
        last: topic and delivery of the newest result for late joiners, None to leave it out.
        proof: matches results that come back; None takes acknowledgements for deliveries.
        troubles: told of what the broker does not take.
        key: signs results; None leaves them unsigned.
    """

    def __init__(
        self,
        link: Link,
        outbox: Outbox,
        topic: str,
        delivery: Delivery,
        last: tuple[str, Delivery] | None,
        proof: DeliveryProof | None = None,
        troubles: PublishTroubles | None = None,
        key: SigningKey | None = None,
    ):
        self._link = link
        self._outbox = outbox
        self._topic = topic
        self._delivery = delivery
        self._last = last
        self._proof = proof
        self._troubles = troubles or PublishTroubles(None)
        self._key = key
        self._rows: deque[Row] = deque()
        self._cursor = 0  # the newest seq sent over this connection
        self._replay_to = 0  # results up to this one are sent again, or waited for a connection
        self._in_flight: dict[int, int] = {}  # message id -> seq
        self._acked: list[int] = []
        self._sizes: dict[int, int] = {}  # of results that are neither acknowledged nor heard
        self._unheard: dict[int, float] = {}  # acknowledged -> when their return is overdue
        self._heard: set[int] = set()  # came back before they were acknowledged
        self._misses: Counter[int] = Counter()
        self._first_miss_s: dict[int, float] = {}
        self._last_heard_s = float("-inf")
        self._is_doubtful = False  # results do not come back: one at a time
        self._aside: dict[int, float] = {}  # kept back -> when they are tried again
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
        if self._cuts >= _SUSPECT_CUTS and len(self._in_flight) == 1:
            self._set_aside(*self._in_flight.values())
        self._has_progress = False
        for waiting in (self._in_flight, self._unheard, self._heard, self._sizes):
            waiting.clear()
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
            self._troubles.taken(self._topic)
            if self._proof is None or seq in self._heard:
                self._deliver(seq)
            elif self._proof.is_blind:
                self._proof.missed(seq, self._sizes.get(seq, 0), is_kept=False)
                self._deliver(seq)
            else:
                self._unheard[seq] = time.monotonic() + ECHO_S
        elif ack.reason in _HOPELESS:
            self._troubles.refused(self._topic, ack.text)
            self._give_up(seq, f"the broker refuses it: {ack.text}")
        else:
            self.refused += 1
            self._troubles.refused(self._topic, f"{ack.text}; results are kept and sent again")
            self._hold(seq, f"broker refuses results: {ack.text}")
        return True

    def hear(self, seq: int) -> None:
        """Note that a result has come back from the broker."""
        self._last_heard_s = time.monotonic()
        if self._is_doubtful:
            self._is_doubtful = False
            self._held_until = 0.0
            self._aside |= dict.fromkeys(set(self._misses) & set(self._aside), 0.0)
        if self._unheard.pop(seq, None) is not None:
            self._deliver(seq)
        elif seq in self._in_flight.values():
            self._heard.add(seq)

    def check(self, *, is_last: bool = False) -> None:
        """Look for results that are overdue; `is_last`: there is no time to wait for more.

        While nothing of ours comes back, or with MQTT 5, where a broker says what it refuses, the
        broker's word is taken. Under MQTT 3.1.1 a result that alone is missing is sent again.
        """
        moment = time.monotonic()
        if self._proof is not None:
            is_blind = not self._proof.can_read
            for seq, due in list(self._unheard.items()):
                if due <= moment or (is_last and is_blind):
                    self._miss(seq, self._proof, is_kept=not is_blind and not self._link.is_v5)
        for seq in [seq for seq, due in self._aside.items() if due <= moment]:
            del self._aside[seq]
            self._go_back(seq)

    def _miss(self, seq: int, proof: DeliveryProof, *, is_kept: bool) -> None:
        """Decide about a result that was acknowledged and did not come back."""
        moment, size = time.monotonic(), self._sizes.get(seq, 0)
        acked_s = self._unheard.pop(seq) - ECHO_S
        proof.missed(seq, size, is_kept=is_kept)
        if not is_kept:
            self._deliver(seq)
            return
        self._misses[seq] += 1
        first_s = self._first_miss_s.setdefault(seq, moment)
        if self._misses[seq] >= _MOST_MISSES and self._last_heard_s > first_s:
            self._give_up(seq, f"the broker acknowledges it and drops it ({size} bytes)")
            return
        self._aside[seq] = moment + MISSED_S
        if self._last_heard_s < acked_s:  # nothing comes back: it is not this one alone
            self._is_doubtful = True
            self._hold(seq, "broker acknowledges results and drops them")

    def _deliver(self, seq: int) -> None:
        self._heard.discard(seq)
        self._sizes.pop(seq, None)
        self._forget_misses(seq)
        self._hold_s = FIRST_HOLD_S
        self._acked.append(seq)
        self.published += 1
        self.replayed += seq <= self._replay_to

    def forget(self, at_least: int = REMOVE_AT) -> None:
        """Remove acknowledged results from the outbox, many at once because each call writes."""
        if len(self._acked) < at_least:
            return
        self._acked = self._outbox.settle(self._acked)
        try:
            while self._acked:
                self._outbox.remove(self._acked[:PAGE])
                del self._acked[:PAGE]
        except PublishError as error:  # a full disk; they are not sent again before a restart
            log.debug("delivered results not removed yet count=%d: %s", len(self._acked), error)

    def _has_room(self) -> bool:
        # After a cut without progress one at a time: that shows which result the broker dislikes.
        # While results do not come back, too: else all of them would go that way.
        is_alone = bool(self._cuts or self._is_doubtful)
        has_any = bool(self._in_flight or self._unheard)
        return (
            self._link.has_room
            and len(self._unheard) < _MOST_UNHEARD
            and not (is_alone and has_any)
        )

    def _load(self) -> bool:
        """Read the next page if none is loaded; tell whether there is something to send."""
        newest = self._outbox.last_seq
        while not self._rows and self._cursor < newest:
            page = self._outbox.pending(self._cursor, PAGE)
            if not page:
                self._cursor = newest
                break
            done = {*self._acked, *self._in_flight.values(), *self._unheard, *self._aside}
            self._rows.extend(row for row in page if row.seq not in done)
            self._cursor = self._rows[0].seq - 1 if self._rows else page[-1].seq
        return bool(self._rows)

    def _send(self, row: Row) -> None:
        self._cursor = row.seq
        try:
            is_replayed = row.seq <= self._replay_to
            data, user = result_message(row, is_replayed=is_replayed, key=self._key)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            self._troubles.unreadable(row.seq, type(error).__name__)
            self._give_up(row.seq, f"its row in the outbox cannot be read: {type(error).__name__}")
            return
        if len(data) > _SUSPECT_BYTES and self._cuts >= _SUSPECT_CUTS:
            self._give_up(row.seq, f"the broker ended {self._cuts} connections over it")
            return
        try:
            mid = self._link.publish(self._topic, data, self._delivery.aged(row.age_s), user)
        except UnsendableError as error:
            self._troubles.too_large(self._topic, f"result lost seq={row.seq}: {error}")
            self._give_up(row.seq, str(error))
            return
        self._in_flight[mid] = row.seq
        self._sizes[row.seq] = len(data)
        if self._proof is not None:
            self._proof.expect(data, row.seq)
        if self._last and row.seq == self._outbox.last_seq:
            with suppress(UnsendableError):
                self._link.publish(self._last[0], data, self._last[1], user)

    def _give_up(self, seq: int, reason: str) -> None:
        log.error("result lost seq=%d: %s", seq, reason)
        self._cuts = 0
        self._sizes.pop(seq, None)
        self._forget_misses(seq)
        self._outbox.remove([seq], lost=True)

    def _set_aside(self, seq: int) -> None:
        """Keep a result back that was alone on its way when connections ended."""
        size = self._sizes.get(seq, 0)
        if size > _SUSPECT_BYTES:
            return  # given up when its turn comes
        log.warning("result kept back seq=%d bytes=%d retry_s=%g", seq, size, ASIDE_S)
        self._troubles.too_large(
            self._topic,
            f"seq {seq} ({size} bytes): the broker ended {self._cuts} connections over it; it is "
            f"kept and sent again later",
        )
        self._aside[seq] = time.monotonic() + ASIDE_S
        self._cuts = 0

    def _forget_misses(self, seq: int) -> None:
        self._misses.pop(seq, None)
        self._first_miss_s.pop(seq, None)

    def _hold(self, seq: int, reason: str) -> None:
        """Pause after a refusal that may pass, such as a missing right or a quota."""
        if time.monotonic() >= self._held_until:
            log.warning("%s retry_s=%g topic=%s", reason, self._hold_s, self._topic)
            self._held_until = time.monotonic() + self._hold_s
            self._hold_s = min(2 * self._hold_s, LAST_HOLD_S)
        self._go_back(seq)

    def _go_back(self, seq: int) -> None:
        """Send again from this result on whatever is not delivered."""
        self._replay_to = max(self._replay_to, self._cursor)
        self._cursor = min(self._cursor, seq - 1)
        self._rows.clear()
