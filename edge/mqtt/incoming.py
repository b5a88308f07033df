"""What a station hears: commands, and its own status, counters and results coming back."""

from __future__ import annotations

import logging
from collections.abc import Callable

from edge.errors import PublishError
from edge.messages.message import Message, Reply
from edge.mqtt.delivery_proof import PROBE, DeliveryProof
from edge.mqtt.duplicates import DuplicateWatch
from edge.mqtt.link import Link
from edge.mqtt.reply_rules import ReplyRules
from edge.mqtt.result_stream import ResultStream
from edge.mqtt.topics import Topics

log = logging.getLogger(__name__)
# A broker that sends so many messages that nobody asked for in a connection is left.
MOST_UNASKED = 1000
OnCommand = Callable[[str, bytes, Reply | None], None]


class Incoming:
    """Subscribes to what the station hears and hands it on; for one thread.

    Args:
        topics: of the station.
        proof: gets results and counters that come back.
        results: told which results have come back.
        duplicates: gets what stands on our status topic.
        on_command: gets every live command; None hears none.
    """

    def __init__(
        self,
        topics: Topics,
        proof: DeliveryProof,
        results: ResultStream,
        duplicates: DuplicateWatch,
        on_command: OnCommand | None,
    ):
        self._topics = topics
        self._proof = proof
        self._results = results
        self._duplicates = duplicates
        self._on_command = on_command
        self._status = topics.of("status")
        self._proving = (topics.of("result"), topics.of("counters"))
        self._unasked = 0
        self.replies = ReplyRules(topics)

    def begin(self, link: Link) -> None:
        """Subscribe over a new connection; a refusal does not end it.

        Raises:
            PublishError: the connection is gone.
        """
        self._unasked = 0
        if self._on_command is not None:
            link.subscribe([self._topics.command()], is_needed=False)
        link.subscribe([self._status, *self._proving], qos=0, is_needed=False)

    def check(self, link: Link) -> None:
        """Tell the proof when we may not hear ourselves."""
        for topic in self._proving:
            if reason := link.refused_filters.get(topic):
                self._proof.refused(topic, reason)

    def hear(self, message: Message) -> None:
        """Take a message.

        Raises:
            PublishError: the broker sends what nobody asked for, again and again.
        """
        name = self._topics.parse_command(message.topic)
        if name is not None and self._on_command is not None:
            self._obey(name, message, self._on_command)
        elif message.topic == self._status:
            self._duplicates.hear(message)
        elif message.topic in self._proving:
            seq = self._proof.hear(message)
            if seq is not None and seq != PROBE:
                self._results.hear(seq)
        else:
            self._unasked += 1
            if self._unasked > MOST_UNASKED:
                raise PublishError(
                    f"the broker sends messages that nobody asked for: {message.topic[:100]!r}"
                )

    def _obey(self, name: str, message: Message, on_command: OnCommand) -> None:
        """Pass a command on, but not a retained one: it would come again at every connection."""
        if message.is_stored:
            log.warning("retained command ignored topic=%r; clear it at the broker", message.topic)
        else:
            on_command(name, message.payload, self.replies.checked(message.reply))
