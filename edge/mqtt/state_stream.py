"""Sends states, alerts and answers, each kind as the table of topics says."""

from __future__ import annotations

import logging

from edge.messages.message import Ack, OversizeError, Reply
from edge.messages.payload import encode
from edge.messages.state_board import StateBoard
from edge.mqtt.link import Link
from edge.mqtt.topics import DELIVERY, Topics

log = logging.getLogger(__name__)


class StateStream:
    """Sends what the state board holds over a link; used by the publisher's thread only."""

    def __init__(self, link: Link, states: StateBoard, topics: Topics):
        self._link = link
        self._states = states
        self._topics = topics
        self._refusals: set[str] = set()

    def send(self) -> None:
        """Send everything that is new while the window has room.

        Raises:
            PublishError: the connection is gone.
        """
        while self._link.has_room and (message := self._states.take()):
            delivery = DELIVERY[message.kind]
            data = encode(message.payload).encode()
            user = {"schema": message.payload["schema"]}
            topic = self._topics.of(message.kind)
            reply = message.reply
            try:
                self._link.publish(topic, data, delivery, user, _echo(reply))
                if reply is not None and self._may_answer(reply.topic):
                    self._link.publish(reply.topic, data, delivery, user, _echo(reply))
            except OversizeError as error:
                log.warning("not published: %s", error)

    def take(self, ack: Ack) -> None:
        """Note the broker's answer; each kind of refusal is told once."""
        if ack.reason >= 128 and ack.text not in self._refusals:
            self._refusals.add(ack.text)
            log.warning("broker refuses states and alerts: %s; check its ACL", ack.text)

    def _may_answer(self, topic: str) -> bool:
        """Tell whether a sender may have its answer there: never where our own messages stand."""
        return self._topics.takes_answers(topic)


def _echo(reply: Reply | None) -> Reply | None:
    """Repeat what the sender gave us to know its answer by, without asking for another."""
    return None if reply is None else Reply("", reply.correlation)
