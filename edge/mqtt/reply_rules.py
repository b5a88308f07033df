"""Where answers to commands may go: whoever sends a command must not have us write anywhere."""

from __future__ import annotations

import logging

from edge.messages.message import Reply
from edge.mqtt.topics import Topics

log = logging.getLogger(__name__)
LONGEST_CORRELATION_BYTES = 1024


class ReplyRules:
    """Checks the response topics of commands (MQTT 5) and counts those that are refused."""

    def __init__(self, topics: Topics):
        self._topics = topics
        self.refused = 0

    def checked(self, reply: Reply | None) -> Reply | None:
        """Return what may be used of a reply address; without a topic, `ack` alone has the answer.

        Correlation data that is too long is not repeated anywhere.
        """
        if reply is None:
            return None
        problem, correlation = "", reply.correlation
        if correlation is not None and len(correlation) > LONGEST_CORRELATION_BYTES:
            problem = f"{len(correlation)} bytes of correlation data, expected 1024 at most"
            correlation = None
        elif not self._topics.takes_answers(reply.topic):
            problem = f"expected one below {self._topics.prefix}/ where no station has messages"
        if not problem:
            return reply
        self.refused += 1
        if self.refused & (self.refused - 1) == 0:  # the 1st, 2nd, 4th, 8th
            log.warning(
                "response topic refused topic=%r count=%d: %s",
                reply.topic[:100], self.refused, problem,
            )  # fmt: skip
        return Reply("", correlation)
