"""The parts that have left the view, behind the end that they left by."""

from __future__ import annotations

from collections import deque

from edge.presence.track import End, Track

# Parts remembered behind each end, for a belt that runs backwards.
_MEMORY = 256


class Departed:
    """Gives a part back when the belt brings it back: the last that left comes first.

    Args:
        length: cells of the view along the belt.
    """

    def __init__(self, length: int):
        self._length = length
        # Each with the way of the belt up to then.
        self._gone: dict[End, deque[tuple[Track, float]]] = {
            -1: deque(maxlen=_MEMORY),
            1: deque(maxlen=_MEMORY),
        }
        self._belt = 0.0

    def advance(self, move: float) -> None:
        """Move the belt; forget what should have come back long ago: somebody took it off."""
        self._belt += move
        for end, gone in self._gone.items():
            while gone and (gone[-1][1] - self._belt) * end > 2 * self._length:
                gone.pop()

    def put(self, track: Track, end: End) -> None:
        """Remember a part that has left by `end`."""
        self._gone[end].append((track, self._belt))

    def take(self, end: End) -> Track | None:
        """Return the part that comes in by `end` now; None when it is a new one."""
        if end == 0 or not self._gone[end]:
            return None
        return self._gone[end].pop()[0]

    def clear(self) -> None:
        """Forget all."""
        for gone in self._gone.values():
            gone.clear()
