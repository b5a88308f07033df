"""Holds the frames of a file back until they are due; the wait can be broken off."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from edge.cameras.query import Query


@dataclass(frozen=True, slots=True)
class Playback:
    """How files are played.

    Attributes:
        fps: frames per second at most; None = as fast as they are taken.
        loop: start again at the end, for ever.
        original: keep the recording's own times instead of a rate.
    """

    fps: float | None = None
    loop: bool = False
    original: bool = False

    @classmethod
    def from_query(cls, query: Query) -> Playback:
        """Read `fps`, `loop` and `timing`."""
        fps, original = query.rate("fps"), query.choice("timing", ("original",)) is not None
        if fps and original:
            raise query.problem("expected one of fps and timing=original, got both")
        return cls(fps, query.flag("loop"), original)

    def period_s(self, original_s: float) -> float:
        """Return the time since the previous frame, given the recording's own."""
        if self.original:
            return max(0.0, original_s)
        return 1 / self.fps if self.fps else 0.0


class Pace:
    """Holds frames back until they are due. `stop` may come from another thread."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._due_s: float | None = None

    def restart(self) -> None:
        """Begin anew: the next frame is due at once."""
        self._due_s = None
        self._stop.clear()

    def stop(self) -> None:
        """End the present wait and refuse later ones."""
        self._stop.set()

    @property
    def is_stopped(self) -> bool:
        """True between `stop` and `restart`."""
        return self._stop.is_set()

    def wait(self, period_s: float) -> bool:
        """Wait until `period_s` after the previous frame was due; False when stopped.

        A reader that came late gets no burst of frames afterwards: the rate is a limit.
        """
        now = time.monotonic()
        due = now if self._due_s is None else max(now, self._due_s + period_s)
        self._due_s = due
        if due > now:
            self._stop.wait(due - now)
        return not self._stop.is_set()
