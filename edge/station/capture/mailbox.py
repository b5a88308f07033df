"""The hand-over between the capture thread and the inspecting one: small, bounded, counting."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Literal, Protocol

from edge.drop_counts import DropCounts
from edge.frame import Frame

# No wait is endless, even where a notification would be enough.
_WAIT_S = 1.0


class FrameTaker(Protocol):
    """Where a capture puts its frames: a mailbox, or what stands before one."""

    def put(self, frame: Frame, *, wait: bool) -> Frame | None:
        """Hand in a frame; returns the frame that was refused and is owed a result, if any."""

    def close(self) -> None:
        """Take no more frames."""


class Mailbox:
    """Holds frames under one of two policies.

    latest: one frame; a newer one replaces it, counted as (mailbox, superseded).
    every: up to `size` frames in order; when full, `put` waits or refuses, counted as
    (mailbox, overrun).
    """

    def __init__(self, policy: Literal["latest", "every"], size: int, drops: DropCounts):
        """`size` counts for `every` only."""
        self.policy = policy
        self._size = size if policy == "every" else 1
        self._drops = drops
        self._frames: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._is_closing = False

    def put(self, frame: Frame, *, wait: bool) -> Frame | None:
        """Hand in a frame. `wait`: block for room (files) rather than refuse (live cameras).

        Returns:
            The frame itself when a full queue refused it: whoever put it in owes it a result.
            None otherwise; a frame that comes after `close` is dropped, as (mailbox, closed).
        """
        with self._changed:
            while wait and self._is_full() and not self._is_closing:
                self._changed.wait(_WAIT_S)
            if self._is_closing:
                self._drops.add("mailbox", "closed")
                return None
            if self._is_full():
                self._drops.add("mailbox", "overrun")
                return frame
            if self.policy == "latest" and self._frames:
                self._frames.clear()
                self._drops.add("mailbox", "superseded")
            self._frames.append(frame)
            self._changed.notify_all()
            return None

    def take(self, timeout_s: float) -> Frame | None:
        """Return the oldest frame, or None when none came in time or none will ever come.

        The two differ by `closed`, which is true only when nothing is left: a reader that stops at
        `frame is None and mailbox.closed` misses no frame.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._frames and not self._is_closing:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return None
                self._changed.wait(min(left_s, _WAIT_S))
            if not self._frames:
                return None
            frame = self._frames.popleft()
            self._changed.notify_all()
            return frame

    def clear(self) -> list[Frame]:
        """Throw away what waits; returns it, for the caller to count."""
        with self._changed:
            thrown = list(self._frames)
            self._frames.clear()
            self._changed.notify_all()
            return thrown

    def close(self) -> None:
        """Take no more frames and wake everyone; what is inside can still be taken."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """True once closed and empty: `take` will never return a frame again."""
        with self._changed:
            return self._is_closing and not self._frames

    def __len__(self) -> int:
        with self._changed:
            return len(self._frames)

    def _is_full(self) -> bool:
        return self.policy == "every" and len(self._frames) >= self._size
