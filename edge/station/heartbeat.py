"""A file that shows the age of the line's last turn, for whatever watches over the process."""

from __future__ import annotations

import time
from pathlib import Path

# Often enough for a check every half minute, seldom enough to cost nothing.
EVERY_S = 1.0


class Heartbeat:
    """Touches `<node>.<station>.pulse` in a folder; without a folder it does nothing.

    A line turns also while no part comes: an old file means that the inspector hangs.
    """

    def __init__(self, folder: Path | None, node: str, station: str):
        self._path = None if folder is None else folder / f"{node}.{station}.pulse"
        self._next_s = 0.0

    def beat(self) -> None:
        """Say that the line has turned; a folder that cannot be written must not stop it."""
        now = time.monotonic()
        if self._path is None or now < self._next_s:
            return
        self._next_s = now + EVERY_S
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()
        except OSError:
            return
