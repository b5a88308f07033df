"""Alerts about messages that the broker does not take: one each while it lasts."""

from __future__ import annotations

import logging

from edge.messages.state_board import StateBoard

log = logging.getLogger(__name__)
_SHOWN = 12  # topics of an alert: one station has fewer


class PublishTroubles:
    """Keeps `publish_refused` and `message_too_large` up to date, and tells of unreadable results.

    Args:
        states: where alerts go; None for none.
    """

    def __init__(self, states: StateBoard | None):
        self._states = states
        self._troubles: dict[str, dict[str, str]] = {"publish_refused": {}, "message_too_large": {}}
        self._unreadable = 0

    def refused(self, topic: str, reason: str) -> None:
        """Note that the broker refuses messages of a topic."""
        self._note("publish_refused", topic, f"{topic}: {reason}")

    def taken(self, topic: str) -> None:
        """Note that the broker has taken a message of a topic."""
        self._forget("publish_refused", topic)

    def too_large(self, topic: str, detail: str) -> None:
        """Note that a message of a topic is too large for the broker."""
        self._note("message_too_large", topic, f"{topic}: {detail}")

    def fits(self, topic: str) -> None:
        """Note that the broker has taken a message of a topic in full."""
        self._forget("message_too_large", topic)

    def unreadable(self, seq: int, reason: str) -> None:
        """Note that a stored result cannot be read; this lasts until the process ends."""
        self._unreadable += 1
        if self._states is not None:
            detail = f"{self._unreadable} in the outbox, newest seq {seq}: {reason}"
            self._states.raise_alert("result_unreadable", "error", detail)

    def _note(self, code: str, topic: str, detail: str) -> None:
        known = self._troubles[code]
        if known.get(topic) == detail:
            return
        if topic not in known and code == "message_too_large":
            log.warning("too large for the broker topic=%s", detail)
        known[topic] = detail
        self._tell(code)

    def _forget(self, code: str, topic: str) -> None:
        if self._troubles[code].pop(topic, None) is not None:
            self._tell(code)

    def _tell(self, code: str) -> None:
        known = self._troubles[code]
        if self._states is None:
            return
        if not known:
            self._states.clear_alert(code)
            return
        more = len(known) - _SHOWN
        detail = "; ".join(list(known.values())[:_SHOWN]) + (f"; {more} more" if more > 0 else "")
        self._states.raise_alert(code, "error", detail)
