"""Finds out that another process publishes as this station, and keeps one alert about it.

Two ways lead there: a broker ends our connection for another one with our client id (MQTT 5 says
so), or a status with a foreign `boot_id` stands on our own topic. A station that hears another one
come online answers once with its own status, so that both know.
"""

from __future__ import annotations

import json
import logging
import time

from edge.messages.identity import Identity
from edge.messages.message import Message
from edge.messages.payload import Payload
from edge.messages.state_board import StateBoard

log = logging.getLogger(__name__)
CODE = "duplicate_station"
# Our status is published again at most so often, and without news while there is another station.
ANSWER_S, REPEAT_S = 2.0, 60.0
# The other one may be waiting for its turn: reconnecting is delayed up to 300 s.
FORGET_S = 900.0
_MANY = 100


class DuplicateWatch:
    """Reads the station's own status topic; used by the publisher's thread only.

    Args:
        identity: who we are.
        client_id: of our connection.
        states: where the alert goes.
    """

    def __init__(self, identity: Identity, client_id: str, states: StateBoard):
        self._identity = identity
        self._client_id = client_id
        self._states = states
        self._others: dict[str, str] = {}  # boot id -> host
        self._is_taken_over = False
        self._has_been_online = False
        self._owes = False
        self._next_answer = 0.0
        self._seen_s: float | None = None  # the newest evidence

    @property
    def is_active(self) -> bool:
        """There is another station of our name, or was minutes ago."""
        return self._seen_s is not None

    def taken_over(self) -> None:
        """Note that the broker has ended our connection for another with our client id."""
        self._is_taken_over = True
        self._raise()

    def hear(self, message: Message) -> None:
        """Take a status from our own topic."""
        status = _parse(message.payload)
        if status is None:
            return
        boot_id, state = str(status.get("boot_id"))[:64], status.get("state")
        if boot_id == self._identity.boot_id:
            self._has_been_online |= state == "online"
            # Our own will may come late, after we are back.
            self._owes |= state == "lost" and not message.is_stored
            return
        if message.is_stored and not self._has_been_online:
            return  # of our last run, or of another station: nobody can tell
        # A foreign one that was stored in place of ours: somebody was here while we were away.
        if state == "online" or message.is_stored:
            is_new = boot_id not in self._others
            if len(self._others) >= _MANY:
                self._others.clear()
            self._others[boot_id] = str(status.get("host", "unknown"))[:64]
            self._owes |= is_new
            self._raise()
        else:
            self._owes |= not message.is_stored
            if self._others.pop(boot_id, None) is not None and not self._others:
                self._end()

    def owes_status(self) -> bool:
        """Tell whether our status has to be published again, and end the alert after long quiet."""
        moment = time.monotonic()
        if self._seen_s is not None and moment - self._seen_s > FORGET_S:
            self._end()
        is_due = self._owes or (self.is_active and moment >= self._next_answer + REPEAT_S)
        if not is_due or moment < self._next_answer:
            return False
        self._owes, self._next_answer = False, moment + ANSWER_S
        return True

    def _end(self) -> None:
        self._seen_s, self._is_taken_over = None, False
        self._others.clear()
        self._states.clear_alert(CODE)

    def _raise(self) -> None:
        what = []
        if self._is_taken_over:
            what.append(f"another process uses client id {self._client_id}")
        if self._others:
            boot_id, host = list(self._others.items())[-1]
            what.append(
                f"another process publishes as node {self._identity.node}, station "
                f"{self._identity.station}: host {host}, boot_id {boot_id}"
            )
        detail = f"{'; '.join(what)}; give each a node name and client id of its own"
        if self._seen_s is None:
            log.error("%s", detail)
        self._seen_s = time.monotonic()
        self._states.raise_alert(CODE, "error", detail)


def _parse(payload: bytes) -> Payload | None:
    try:
        status = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return status if isinstance(status, dict) else None
