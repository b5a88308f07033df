"""A file that is touched while the inspector runs, for the check of a container or service."""

from __future__ import annotations

import time
from pathlib import Path

# Often enough for a check every half minute, seldom enough to cost nothing.
EVERY_S = 1.0


class Heartbeat:
    """Touches `<node>.<station>.pulse` in a folder; without a folder it does nothing.

    The inspector touches it also while no part comes: an old file means that it hangs.
    """

    def __init__(self, folder: Path | None, node: str, station: str):
        self._path = None if folder is None else folder / f"{node}.{station}.pulse"
        self._next_s = 0.0

    def beat(self) -> None:
        """Touch the file, once a second at most; a folder that cannot be written stops nothing."""
        now = time.monotonic()
        if self._path is None or now < self._next_s:
            return
        self._next_s = now + EVERY_S
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()
        except OSError:
            return
