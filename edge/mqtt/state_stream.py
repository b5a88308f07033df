"""Sends states, alerts and answers, each kind as the table of topics says.

A message that is too large for the broker is sent in a short form. Brokers that announce no limit
end the connection over one that is too large; the limit is then learned: after a cut one message
at a time is sent, and that which is alone on its way at two cuts is taken to be the cause.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import NamedTuple

from edge.messages.message import Ack, Reply, UnsendableError
from edge.messages.payload import Payload, encode
from edge.messages.short_form import short_forms
from edge.messages.state_board import Post, StateBoard
from edge.mqtt.delivery_proof import DeliveryProof
from edge.mqtt.link import Link
from edge.mqtt.topics import DELIVERY, Topics
from edge.mqtt.troubles import PublishTroubles

log = logging.getLogger(__name__)
TOO_LARGE = 0x95
# Smaller messages are never the cause of a cut; a learned limit is tried again after a while.
_SUSPECT_BYTES, _SUSPECT_CUTS = 1024, 2
_LEARNED_FOR_S = 3600.0
# A state that was refused is sent again after a while: the newest has to be there in the end.
RENEW_S = 30.0


class _Sent(NamedTuple):
    kind: str
    topic: str
    size: int


class StateStream:
    """Sends what the state board holds over a link; used by the publisher's thread only.

    Args:
        link: the connection; `begin` says when it is a new one.
        states: what is sent.
        topics: where.
        troubles: told of what the broker does not take.
        proof: told of counters that are sent, whose return proves the connection.
    """

    def __init__(
        self,
        link: Link,
        states: StateBoard,
        topics: Topics,
        troubles: PublishTroubles,
        proof: DeliveryProof,
    ):
        self._link = link
        self._states = states
        self._topics = topics
        self._troubles = troubles
        self._proof = proof
        self._in_flight: dict[int, _Sent] = {}
        self._told: set[str] = set()
        self._is_careful = False
        self._cuts: Counter[str] = Counter()  # by topic
        self._limit: int | None = None  # a payload of this size was too large
        self._limit_end = 0.0
        self._renewals: dict[str, float] = {}  # refused kind -> when it is sent again

    @property
    def is_waiting(self) -> bool:
        """A message is on its way alone, to see whether the broker takes it."""
        return self._is_careful and bool(self._in_flight)

    @property
    def suspect(self) -> str:
        """The message that was alone on its way when the connection ended, for people."""
        if not self.is_waiting:
            return ""
        sent = next(iter(self._in_flight.values()))
        return f"{sent.topic} ({sent.size} bytes)"

    def begin(self) -> None:
        """Start over with a new connection."""
        if self.is_waiting:
            self._suspect(next(iter(self._in_flight.values())))
        self._is_careful = bool(self._in_flight)
        self._in_flight.clear()
        if self._limit is not None and time.monotonic() >= self._limit_end:
            self._limit = None

    def send(self) -> None:
        """Send everything that is new while the window has room.

        Raises:
            PublishError: the connection is gone.
        """
        moment = time.monotonic()
        for kind in [kind for kind, due in self._renewals.items() if moment >= due]:
            del self._renewals[kind]
            self._states.renew(kind)
        while self._link.has_room and not self.is_waiting and (post := self._states.take()):
            self._send(post)

    def take(self, ack: Ack) -> None:
        """Note the broker's answer."""
        sent = self._in_flight.pop(ack.mid, None)
        if sent is None:
            return
        if ack.reason < 128:
            self._troubles.taken(sent.topic)
            return
        if ack.text not in self._told:
            self._told.add(ack.text)
            log.warning("broker refuses states and alerts: %s; check its ACL", ack.text)
        if ack.reason == TOO_LARGE:
            self._learn(sent)
            self._states.renew(sent.kind)
        elif DELIVERY[sent.kind].retain:
            # Not so alerts and answers, which are not sent again: nothing would end the trouble.
            text = f"{ack.text}; check the broker's ACL and limits"
            self._troubles.refused(sent.topic, text)
            self._renewals.setdefault(sent.kind, time.monotonic() + RENEW_S)

    def _send(self, post: Post) -> None:
        topic, reply = self._topics.of(post.kind), post.reply
        self._publish(post.kind, topic, post.payload, _echo(reply))
        if reply is not None and reply.topic and self._may_answer(reply.topic):
            self._publish(post.kind, reply.topic, post.payload, _echo(reply))

    def _publish(self, kind: str, topic: str, payload: Payload, reply: Reply | None) -> None:
        """Send the longest form that the broker takes, and say so unless it is the whole."""
        delivery, user = DELIVERY[kind], {"schema": payload["schema"]}
        problem, whole = "", 0
        for form in (payload, *short_forms(payload)):
            data = encode(form).encode()
            whole = whole or len(data)
            if self._limit is not None and len(data) >= self._limit:
                problem = problem or f"{whole} bytes, the broker takes less than {self._limit}"
                continue
            try:
                mid = self._link.publish(topic, data, delivery, user, reply)
            except UnsendableError as error:
                problem = problem or str(error).removeprefix(f"{topic}: ")
                continue
            if delivery.qos:
                self._in_flight[mid] = _Sent(kind, topic, len(data))
            if kind == "counters":
                self._proof.expect(data)
            break
        else:
            self._troubles.too_large(topic, f"{problem}; not published")
            return
        if problem:
            self._troubles.too_large(topic, f"{problem}; a short form is published")
        else:
            self._troubles.fits(topic)

    def _suspect(self, sent: _Sent) -> None:
        if sent.size < _SUSPECT_BYTES:
            return
        self._cuts[sent.topic] += 1
        if self._cuts[sent.topic] >= _SUSPECT_CUTS:
            log.error(
                "the broker ended %d connections right after a message topic=%s bytes=%d; it is "
                "taken to be too large",
                self._cuts.pop(sent.topic),
                sent.topic,
                sent.size,
            )
            self._learn(sent)

    def _learn(self, sent: _Sent) -> None:
        self._limit = min(sent.size, self._limit or sent.size)
        self._limit_end = time.monotonic() + _LEARNED_FOR_S

    def _may_answer(self, topic: str) -> bool:
        """Tell whether a sender may have its answer there: never where our own messages stand."""
        return self._topics.takes_answers(topic)


def _echo(reply: Reply | None) -> Reply | None:
    """Repeat what the sender gave us to know its answer by, without asking for another."""
    return None if reply is None else Reply("", reply.correlation)
