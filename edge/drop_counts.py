"""Counts of what was dropped on its way, by place and reason."""

from __future__ import annotations

import threading


class DropCounts:
    """Counts keyed by (where, reason); any thread may add.

    Used keys: (camera, gap) lost in the camera or driver, (capture, abandoned) came from a stuck
    driver too late, (capture, stopped) and (mailbox, closed) came while stopping, (mailbox,
    superseded) replaced by a newer one, (mailbox, overrun) refused by a full queue, (line, stopped)
    came while none was to be judged, (trigger, unasked) came without a trigger, (views,
    unmatched) of a further camera that runs freely and no view of a part, (line, aborted) taken
    back by an abort. Of parts on a belt, frames that are no result: (presence,
    learning), (presence, no_part), (presence, not_best), (presence, unreadable). An output NAME
    counts what it did not deliver: (NAME, overrun) its queue was full, (NAME, stopped) it was left
    over at the stop, (NAME, failed) it raised; (archive, disk) and (raw_archive, disk) the
    disk took no picture, (raw_archive, unstored) the outbox had given up the result.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, where: str, reason: str, n: int = 1) -> None:
        """Count `n` more frames."""
        with self._lock:
            self._counts[where, reason] = self._counts.get((where, reason), 0) + n

    def snapshot(self) -> dict[tuple[str, str], int]:
        """Return a copy of all counts."""
        with self._lock:
            return dict(self._counts)

    @property
    def total(self) -> int:
        """All frames dropped anywhere."""
        with self._lock:
            return sum(self._counts.values())
