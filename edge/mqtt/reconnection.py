"""How long to wait before the next connection, and an alert when connections keep ending."""

from __future__ import annotations

import random
import time

from edge.messages.state_board import StateBoard

CODE = "connection_unstable"
# A connection that lasted less does not reset the delay: two processes with one client id, or a
# broker that dislikes what we send, would otherwise make us reconnect every second for ever.
STABLE_S = 10.0
_SHORT_CONNECTIONS = 3  # in a row
# While another process has our name both give way longer and longer, so that they do not fight.
LAST_GIVE_WAY_S = 300.0


class Reconnection:
    """Counts the connections of a publisher; for one thread.

    Args:
        states: where the alert goes.
        first_s: the first pause; it doubles from loss to loss.
        last_s: the longest pause.
    """

    def __init__(self, states: StateBoard, first_s: float, last_s: float):
        self._states = states
        self._first_s, self._last_s = first_s, last_s
        self._next_s = first_s
        self._began_s: float | None = None
        self._short = 0
        self.count = 0  # connections that were lost

    def began(self) -> None:
        """Note that a connection is there."""
        self._began_s = time.monotonic()

    def check(self) -> None:
        """End the alert once a connection has lasted."""
        if self._short and self._has_lasted():
            self._short = 0
            self._states.clear_alert(CODE)

    def lost(self, problem: str, suspect: str, *, has_duplicate: bool) -> None:
        """Note that a connection was lost, or could not be made.

        Args:
            problem: why.
            suspect: the message that was alone on its way, empty for none.
            has_duplicate: another process has our name, which has an alert of its own.
        """
        if self._began_s is None:
            return
        self.count += 1
        has_lasted, self._began_s = self._has_lasted(), None
        if has_lasted and not has_duplicate:
            self._next_s = self._first_s
        self._short = 0 if has_lasted else self._short + 1
        if self._short >= _SHORT_CONNECTIONS and not has_duplicate:
            after = f", right after {suspect}" if suspect else ""
            self._states.raise_alert(
                CODE,
                "error",
                f"{self._short} connections in a row ended within {STABLE_S:g} s each{after}: "
                f"{problem}; another process may use the client id, or a message be too large",
            )

    def pause_s(self, *, has_duplicate: bool) -> float:
        """Return the seconds to wait before the next attempt; the next pause is longer."""
        pause_s = self._next_s * random.uniform(0.7, 1.0)  # noqa: S311 - jitter
        self._next_s = min(2 * self._next_s, LAST_GIVE_WAY_S if has_duplicate else self._last_s)
        return pause_s

    def _has_lasted(self) -> bool:
        return self._began_s is not None and time.monotonic() - self._began_s >= STABLE_S
