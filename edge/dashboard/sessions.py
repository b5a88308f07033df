"""Who is signed in: random tokens in memory. A restart signs everybody out."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

MOST_SESSIONS = 1000
# Wrong passwords that one address, or one name, may send within the window.
MOST_FAILURES = 10
WINDOW_S = 300.0
MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that is signed in.

    Attributes:
        token: of its cookie.
        csrf: has to come with everything that it changes.
        name, stamp: of the account as it was.
        end_s: when it ends, monotonic clock.
    """

    token: str = field(repr=False)
    csrf: str = field(repr=False)
    name: str
    stamp: str = field(repr=False)
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

    def open(self, name: str, stamp: str = "") -> Session:
        """Begin a session; beyond the limit the oldest one ends."""
        session = Session(
            secrets.token_urlsafe(32), secrets.token_urlsafe(32), name, stamp,
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


class SignInLimit:
    """Counts wrong passwords by address and by name, and says when it is enough.

    An attempt counts as wrong until its password was verified, so that many at once are no way
    around.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def attempt(self, *keys: str) -> float:
        """Note an attempt; return how long to wait instead, 0 where it may go on."""
        moment = time.monotonic()
        with self._lock:
            recent = {
                key: [each for each in self._failures.get(key, []) if moment - each < WINDOW_S]
                for key in keys
            }
            waits = [
                failures[0] + WINDOW_S - moment
                for failures in recent.values()
                if len(failures) >= MOST_FAILURES
            ]
            if waits:
                return max(waits)
            for key, failures in recent.items():
                self._failures[key] = [*failures, moment]
                self._failures.move_to_end(key)
            while len(self._failures) > MOST_REMEMBERED:
                self._failures.popitem(last=False)
        return 0.0

    def succeeded(self, *keys: str) -> None:
        """Take back the newest attempt: its password was right."""
        with self._lock:
            for key in keys:
                if failures := self._failures.get(key):
                    failures.pop()
