"""Who is signed in: random tokens in memory. A restart signs everybody out."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

MOST_SESSIONS = 1000
# Wrong passwords that one address, or one name, may send within the window.
MOST_FAILURES = 10
WINDOW_S = 300.0
MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that is signed in; `csrf` has to come with everything that it changes."""

    token: str
    csrf: str
    name: str
    end_s: float

    def has_csrf(self, given: str) -> bool:
        """Tell whether a form came from one of our own pages."""
        return hmac.compare_digest(self.csrf.encode(), given.encode("utf-8", "replace"))


class Sessions:
    """All sessions; safe in any thread.

    Args:
        lifetime_s: after which one has to sign in again.
    """

    def __init__(self, lifetime_s: float):
        self._lifetime_s = lifetime_s
        self._lock = threading.Lock()
        self._open: OrderedDict[str, Session] = OrderedDict()

    def open(self, name: str) -> Session:
        """Begin a session; beyond the limit the oldest one ends."""
        session = Session(
            secrets.token_urlsafe(32), secrets.token_urlsafe(32), name,
            time.monotonic() + self._lifetime_s,
        )  # fmt: skip
        with self._lock:
            self._open[session.token] = session
            while len(self._open) > MOST_SESSIONS:
                self._open.popitem(last=False)
        return session

    def find(self, token: str) -> Session | None:
        """Return the session of a cookie, None when it has ended."""
        with self._lock:
            session = self._open.get(token)
            if session is not None and time.monotonic() >= session.end_s:
                del self._open[token]
                return None
            return session

    def close(self, token: str) -> None:
        """End a session."""
        with self._lock:
            self._open.pop(token, None)

    def close_all_of(self, name: str) -> None:
        """End every session of an account."""
        with self._lock:
            for token in [token for token, each in self._open.items() if each.name == name]:
                del self._open[token]


class SignInLimit:
    """Counts wrong passwords by address and by name, and says when it is enough."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def wait_s(self, *keys: str) -> float:
        """Return how long to wait before the next attempt, 0 for not at all."""
        moment = time.monotonic()
        waits = [0.0]
        with self._lock:
            for key in keys:
                recent = [each for each in self._failures.get(key, []) if moment - each < WINDOW_S]
                if len(recent) >= MOST_FAILURES:
                    waits.append(recent[0] + WINDOW_S - moment)
        return max(waits)

    def failed(self, *keys: str) -> None:
        """Note a wrong password."""
        moment = time.monotonic()
        with self._lock:
            for key in keys:
                recent = [each for each in self._failures.get(key, []) if moment - each < WINDOW_S]
                self._failures[key] = [*recent, moment][-MOST_FAILURES:]
                self._failures.move_to_end(key)
            while len(self._failures) > MOST_REMEMBERED:
                self._failures.popitem(last=False)
