"""Makes pictures that wait, of a folder or of the simulated belt, come one per software trigger."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace
from datetime import datetime, timezone

from edge.cameras.source import FrameSource
from edge.errors import CameraUnavailable
from edge.frame import Frame

_WAIT_S = 1.0


class FiredSource:
    """A camera that exposes when it is fired, played by a source whose frames wait.

    Each `fire` takes the next picture, as of the moment of firing. A picture that the source skips
    (a gap in its frame ids) is an exposure that never arrives: its `fire` gets no frame.
    """

    def __init__(self, source: FrameSource):
        self._source = source
        self._changed = threading.Condition()
        self._fired: deque[tuple[int, datetime]] = deque()
        self._is_open = False
        self._held: Frame | None = None
        self._expected: int | None = None

    def open(self) -> None:
        """Open or reopen the source; what was fired before is forgotten."""
        self._source.open()
        with self._changed:
            self._fired.clear()
            self._is_open = True

    def fire(self) -> None:
        """Expose now.

        Raises:
            CameraUnavailable: the source is closed.
        """
        with self._changed:
            if not self._is_open:
                raise CameraUnavailable("the camera is not open; it cannot be triggered")
            self._fired.append((time.monotonic_ns(), datetime.now(timezone.utc)))
            self._changed.notify_all()

    def read(self) -> Frame | None:
        """Return the next picture that was fired for; None once the source has no more."""
        while True:
            if self._held is None:
                self._held = self._source.read()
                if self._held is None:
                    return None
            frame = self._held
            fired_ns, fired_at = self._next_fire()
            expected = frame.frame_id if self._expected is None else self._expected
            self._expected = expected + 1
            if frame.frame_id <= expected:
                self._held, self._expected = None, frame.frame_id + 1
                return replace(frame, captured_ns=fired_ns, captured_at=fired_at)

    def close(self) -> None:
        """Close the source and end a wait for a trigger."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()
        self._source.close()

    def _next_fire(self) -> tuple[int, datetime]:
        with self._changed:
            while not self._fired and self._is_open:
                self._changed.wait(_WAIT_S)
            if not self._is_open:
                raise CameraUnavailable("the camera was closed while it waited for a trigger")
            return self._fired.popleft()
