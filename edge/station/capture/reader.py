"""A thread that reads one camera. Its driver calls are timed, because one may never return."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from edge.cameras.source import FrameSource
from edge.errors import CameraTimeout

T = TypeVar("T")
# For how many seconds the camera owes a frame, by the monotonic clock (ns) given.
Silence = Callable[[int], float]


class Reader:
    """A source, the thread that reads it, and how long the present driver call takes.

    Args:
        source: the camera, closed.
        is_live: frames are lost unless they are read, so that a call has a time limit.

    Attributes:
        quit: set to end the thread; a reader never starts again after that.
        is_open: the source is open.
        is_abandoned: the thread is stuck, and another reader has taken its place.
        expected_id: frame id that the source should give next; None after a reopening.
        id_offset: what makes the source's frame ids go on after a reopening.
    """

    def __init__(self, source: FrameSource, *, is_live: bool):
        self.source = source
        self.is_live = is_live
        self.quit = threading.Event()
        self.is_open = False
        self.is_abandoned = False
        self.expected_id: int | None = None
        self.id_offset = 0
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._call: tuple[int, float, Silence | None] | None = None

    def start(self, run: Callable[[Reader], None], name: str) -> None:
        """Run `run(self)` in a thread that cannot keep the process alive."""
        self._thread = threading.Thread(target=run, args=(self,), name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Tell the thread to quit and close the source under it."""
        self.quit.set()
        self._wake.set()
        self.source.close()

    def pause(self, seconds: float) -> bool:
        """Wait in the thread; True when `hurry` or `stop` cut it short."""
        is_hurried = self._wake.wait(seconds)
        self._wake.clear()
        return is_hurried

    def hurry(self) -> None:
        """End the present pause."""
        self._wake.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; True when there is none (any more)."""
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def drive(self, call: Callable[[], T], limit_s: float, silence: Silence | None = None) -> T:
        """Return what a call into the driver returns. It should take no longer than `limit_s`.

        With `silence`, only the time that the camera owes a frame counts.
        """
        self._call = (time.monotonic_ns(), limit_s, silence)
        try:
            return call()
        finally:
            self._call = None

    def overdue_s(self, now_ns: int) -> float:
        """Return how long the present call is taking, 0 while it is within its limit.

        Files are never overdue: they wait, also on a slow network drive.
        """
        call = self._call
        if call is None or not self.is_live:
            return 0.0
        taken_s, silence = (now_ns - call[0]) / 1e9, call[2]
        if silence is not None:
            taken_s = min(taken_s, silence(now_ns))
        return taken_s if taken_s > call[1] else 0.0


def open_in_time(source: FrameSource, camera: str, limit_s: float | None) -> None:
    """Open in a thread of its own: a driver may hang, and the caller must stay interruptible.

    Args:
        source: the camera, closed.
        camera: its name, for messages.
        limit_s: seconds that opening may take; None sets no limit.

    Raises:
        CameraError: the source's own, or CameraTimeout after `limit_s`.
    """
    outcome: list[Exception | None] = []

    def attempt() -> None:
        try:
            source.open()
            outcome.append(None)
        except Exception as error:  # noqa: BLE001 - raised again below
            outcome.append(error)

    thread = threading.Thread(target=attempt, name=f"open-{camera}", daemon=True)
    thread.start()
    thread.join(limit_s)
    if not outcome:
        source.close()
        raise CameraTimeout(
            f"{camera}: expected the driver to open the camera within {limit_s:g} s, got no "
            f"answer; unplug the camera, or restart the service that holds it"
        )
    if outcome[0] is not None:
        raise outcome[0]
