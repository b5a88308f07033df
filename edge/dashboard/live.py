"""News for open pages: each gets what happened since it looked, or learns to look again."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Any, NamedTuple

# A page that has missed more loads its numbers anew.
MOST_WAITING = 200


class News(NamedTuple):
    """Something that happened at a station.

    `kind` is result, state, alerts, health, picture, or `reload` where some news were left out.
    """

    kind: str
    node: str = ""
    station: str = ""
    data: dict[str, Any] | None = None


class Reader:
    """News that wait for one page; from any thread to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self._waiting: deque[News] = deque()
        self._has_missed = False
        self._lock = threading.Lock()
        self._ready = asyncio.Event()

    def put(self, news: News) -> None:
        """Add news; when too many wait, they become one `reload`."""
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.clear()
                self._has_missed = True
            self._waiting.append(news)
        self._loop.call_soon_threadsafe(self._ready.set)

    async def take(self, timeout_s: float) -> list[News]:
        """Wait for news; return all that wait, none after `timeout_s`."""
        try:
            await asyncio.wait_for(self._ready.wait(), timeout_s)
        except asyncio.TimeoutError:
            return []
        self._ready.clear()
        with self._lock:
            found = [News("reload")] if self._has_missed else [*self._waiting]
            self._waiting.clear()
            self._has_missed = False
        return found


class LiveNews:
    """Hands news to all open pages."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: set[Reader] = set()

    @property
    def readers(self) -> int:
        """How many pages are open."""
        return len(self._readers)

    def open(self) -> Reader:
        """Begin to collect news for a page, within its event loop."""
        reader = Reader(asyncio.get_running_loop())
        with self._lock:
            self._readers.add(reader)
        return reader

    def close(self, reader: Reader) -> None:
        """Forget a page."""
        with self._lock:
            self._readers.discard(reader)

    def tell(self, news: News) -> None:
        """Give news to every open page."""
        with self._lock:
            readers = [*self._readers]
        for reader in readers:
            reader.put(news)
