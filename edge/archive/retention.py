"""Which frames leave an archive: the oldest, when there are too many bytes or they are too old."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from edge.archive.layout import SUFFIXES, list_days, list_frames, moment_of, with_suffix
from edge.result import VERDICTS


class Retention:
    """Keeps an archive within its limits. One thread uses it; files that are not ours stay.

    It remembers the names of one day and no more: an archive may hold millions of frames.

    Args:
        root: the archive.
        max_bytes: of pictures and records together.
        max_age_s: of a frame, by the station's clock.
    """

    def __init__(self, root: Path, max_bytes: int, max_age_s: float):
        self._root = root
        self._max_bytes = max_bytes
        self._max_age = timedelta(seconds=max_age_s)
        self._bytes = 0
        self._oldest: deque[Path] = deque()

    def count(self) -> None:
        """Count what is there, and delete what an interrupted run left half written.

        Raises:
            OSError: the archive cannot be read.
        """
        self._bytes = 0
        for day in list_days(self._root):
            for verdict in VERDICTS:
                with suppress(FileNotFoundError), os.scandir(day / verdict) as entries:
                    for entry in entries:
                        if entry.name.endswith(".part"):
                            Path(entry.path).unlink(missing_ok=True)
                        elif Path(entry.name).suffix in SUFFIXES:
                            self._bytes += entry.stat(follow_symlinks=False).st_size

    def added(self, size: int) -> None:
        """Count `size` bytes more."""
        self._bytes += size

    def prune(self, now: datetime, newest: Path | None = None) -> None:
        """Delete the oldest frames beyond the limits; `newest` stays, however large it is.

        Raises:
            OSError: the archive cannot be read, or a file cannot be deleted.
        """
        while (frame := self._first()) is not None and frame != newest:
            moment = moment_of(frame.name)
            is_old = moment is not None and now - moment > self._max_age
            if not is_old and self._bytes <= self._max_bytes:
                return
            self._delete(frame)

    def _first(self) -> Path | None:
        """Return the oldest frame, None in an empty archive."""
        if not self._oldest:
            for day in list_days(self._root):
                self._oldest.extend(list_frames(day))
                if self._oldest:
                    break
                _remove_empty(day)
        return self._oldest[0] if self._oldest else None

    def _delete(self, frame: Path) -> None:
        for suffix in SUFFIXES:
            path = with_suffix(frame, suffix)
            with suppress(FileNotFoundError):
                size = path.stat().st_size
                path.unlink()
                self._bytes -= size
        self._oldest.popleft()
        if not self._oldest:
            _remove_empty(frame.parent.parent)


def _remove_empty(day: Path) -> None:
    """Remove the folders of a day that have nothing in them."""
    for folder in (*(day / verdict for verdict in VERDICTS), day):
        with suppress(OSError):
            folder.rmdir()
