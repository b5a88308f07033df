"""Gives frames to the triggers that wait for them, in order, and gives up on those overdue.

A trigger comes first here, and its frame after it. For cameras that take their picture by
themselves, see frame_triggers.py.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from edge.config.trigger import TriggerSettings
from edge.drop_counts import DropCounts
from edge.frame import Frame
from edge.station.acquisition.missing import missing_frame, part_of
from edge.station.capture.mailbox import FrameTaker
from edge.trigger import Trigger
from edge.triggers.queue import TriggerLedger
from edge.triggers.source import NotTaken

# A camera's clock is known to the host within this.
_CLOCK_ERROR_NS = 2_000_000
_WAIT_S = 1.0


class Pairing:
    """Stands before the mailbox: takes every frame of one camera and passes those on that are due.

    The oldest trigger gets the first frame captured after it, the next one the frame after that. A
    camera that is fired takes one picture at a time: the next trigger fires it when the frame of
    the one before has come, or is given up. A frame that was captured before the camera was fired
    is not taken, so that a late frame never stands for the next part.

    Args:
        camera: its name.
        settings: patience and delay.
        queue: takes and refuses triggers.
        mailbox: gets the frames, and for each trigger without one a stand-in.
        drops: counts (trigger, unasked).
        on_refused: gets what a full mailbox refused.
        fire: tells the camera to take a picture for a trigger; None for one that runs freely.
    """

    def __init__(
        self,
        camera: str,
        settings: TriggerSettings,
        queue: TriggerLedger,
        mailbox: FrameTaker,
        drops: DropCounts,
        *,
        on_refused: Callable[[Frame], None],
        fire: Callable[[Trigger], None] | None,
    ):
        self._camera = camera
        self._patience_ns = int(settings.frame_timeout_ms * 1e6)
        self._patience_ms = settings.frame_timeout_ms
        self._delay_ns = int(settings.delay_ms * 1e6)
        self._queue = queue
        self._mailbox = mailbox
        self._drops = drops
        self._on_refused = on_refused
        self._fire = fire
        self._changed = threading.Condition()
        self._awaiting: deque[Trigger] = deque()
        self._asked_ns = 0  # since when the frame of the oldest trigger is awaited
        self._silent_ns = 0  # what triggers without a frame have waited, since the last frame
        self._last_id = 0
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch the time."""
        name = f"triggers-{self._camera}"
        self._thread = threading.Thread(target=self._keep_time, name=name, daemon=True)
        self._thread.start()

    def offer(self, trigger: Trigger) -> NotTaken | None:
        """Take a trigger and have its picture taken, or say why not; returns at once."""
        with self._changed:
            refusal = self._queue.offer(trigger)
            if refusal is None:
                self._awaiting.append(trigger)
                if len(self._awaiting) == 1:
                    self._ask()
        return refusal

    def expect(self, trigger: Trigger) -> None:
        """Have the picture taken for a trigger that is taken already; returns at once."""
        with self._changed:
            self._awaiting.append(trigger)
            if self._is_closed:
                self._give_up("the camera has ended")
            elif len(self._awaiting) == 1:
                self._ask()

    def put(self, frame: Frame, *, wait: bool) -> Frame | None:  # noqa: ARG002
        """Give a frame to the trigger it is for; other frames are counted and dropped."""
        with self._changed:
            self._last_id = frame.frame_id
            if not self._awaiting or frame.captured_ns < self._earliest_ns:
                self._queue.count("unasked")
                self._drops.add("trigger", "unasked")
                return None
            trigger = self._awaiting.popleft()
            self._silent_ns = 0
            part = part_of(trigger, frame.part)
            # Never waits: the mailbox has room for all open triggers. Firing the camera for the
            # next part takes a trip over the network, so that comes after.
            refused = self._mailbox.put(replace(frame, trigger=trigger, part=part), wait=False)
            self._ask()
            return refused

    def failed(self, trigger: Trigger, why: str) -> None:
        """Give a trigger up that the camera did not take."""
        with self._changed:
            if self._awaiting and self._awaiting[0] is trigger:
                self._give_up(f"the camera took no picture: {why}")

    def close(self) -> None:
        """Give up what waits, then close the mailbox: no frame comes any more."""
        self._queue.close()
        with self._changed:
            self._is_closed = True
            while self._awaiting:
                self._give_up("the camera was closed before a frame came")
            self._changed.notify_all()
        self._mailbox.close()

    def silence_s(self, now_ns: int) -> float:
        """Return for how long, in all, triggers have waited in vain since the last frame.

        0 while none waits: a camera without a trigger is not silent.
        """
        with self._changed:
            if not self._awaiting:
                return 0.0
            return (self._silent_ns + max(0, now_ns - self._asked_ns)) / 1e9

    @property
    def _earliest_ns(self) -> int:
        """Capture time from which a frame is for the oldest trigger."""
        if self._fire is not None:
            return self._asked_ns - _CLOCK_ERROR_NS
        return self._awaiting[0].at_ns + self._delay_ns

    def _ask(self) -> None:
        """Begin to wait for the frame of the oldest trigger, if there is one."""
        self._asked_ns = time.monotonic_ns()
        if self._awaiting and self._fire is not None and not self._is_closed:
            self._fire(self._awaiting[0])
        self._changed.notify_all()

    def _give_up(self, why: str) -> None:
        trigger = self._awaiting.popleft()
        self._silent_ns += max(0, time.monotonic_ns() - self._asked_ns)
        self._queue.count("no_frame")
        stand_in = missing_frame(self._camera, self._last_id, trigger, why)
        refused = self._mailbox.put(stand_in, wait=False)
        if refused is not None:
            self._on_refused(refused)
        self._ask()

    def _keep_time(self) -> None:
        with self._changed:
            while not self._is_closed:
                left_ns = self._left_ns()
                if left_ns is None:
                    self._changed.wait(_WAIT_S)
                elif left_ns > 0:
                    self._changed.wait(min(left_ns / 1e9, _WAIT_S))
                else:
                    self._give_up(
                        f"no frame came within {self._patience_ms:g} ms of the trigger; check the "
                        "camera, the light and trigger.frame_timeout_ms"
                    )

    def _left_ns(self) -> int | None:
        if not self._awaiting:
            return None
        return self._asked_ns + self._delay_ns + self._patience_ns - time.monotonic_ns()
