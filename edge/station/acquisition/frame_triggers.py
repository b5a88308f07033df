"""Cameras that take their picture by themselves: each frame is a trigger, and so is each gap."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from edge.drop_counts import DropCounts
from edge.frame import Frame
from edge.station.acquisition.missing import missing_frame
from edge.station.capture.mailbox import FrameTaker
from edge.trigger import Kind
from edge.triggers.queue import TriggerLedger
from edge.triggers.source import TriggerMaker

log = logging.getLogger(__name__)
# A longer gap is a camera that began to count anew.
MAX_GAP = 1000
# The 16 bits of GigE Vision count from 1 to 65535 and on with 1.
_LAST_OF_16_BITS = 0xFFFF
_NEAR_END = 0xFF00


class FrameTriggers:
    """Stands before the mailbox: makes a trigger of each frame and of each frame that was lost.

    The camera's own numbers (block ids, or the frame ids of sources that have none) tell the gaps.
    They cannot tell triggers that the camera never took. A trigger that finds the queue full gets
    its result all the same, as `overrun`: the part has passed.

    Args:
        camera: its name.
        source: what triggers the camera.
        maker: stamps triggers.
        queue: knows the open triggers.
        mailbox: gets the frames, and for each lost one a stand-in.
        drops: counts (line, stopped) for frames that come while none is to be judged.
        on_refused: gets what a full mailbox refused.
    """

    def __init__(
        self,
        camera: str,
        source: Kind,
        maker: TriggerMaker,
        queue: TriggerLedger,
        mailbox: FrameTaker,
        drops: DropCounts,
        *,
        on_refused: Callable[[Frame], None],
    ):
        self._camera = camera
        self._source = source
        self._maker = maker
        self._queue = queue
        self._mailbox = mailbox
        self._drops = drops
        self._on_refused = on_refused
        self._lock = threading.Lock()
        self._last: int | None = None

    def start(self) -> None:
        """There is nothing to begin."""

    def put(self, frame: Frame, *, wait: bool) -> Frame | None:
        """Pass a frame on with its trigger, after stand-ins for those lost before it."""
        for _ in range(self._lost_before(frame)):
            self._put_missing(frame, wait=wait)
        trigger = self._maker.make(self._source, at_ns=frame.captured_ns)
        if self._queue.offer(trigger, is_refusable=False) is not None:
            self._drops.add("line", "stopped")
            return None
        return self._mailbox.put(replace(frame, trigger=trigger), wait=wait)

    def reopened(self) -> None:
        """Note that the camera begins to count anew."""
        with self._lock:
            self._last = None

    def close(self) -> None:
        """Take no more frames."""
        self._queue.close()
        self._mailbox.close()

    def silence_s(self, now_ns: int) -> float:  # noqa: ARG002
        """Return 0: nobody knows whether a part has come, so the camera owes nothing."""
        return 0.0

    def _put_missing(self, frame: Frame, *, wait: bool) -> None:
        trigger = self._maker.make(self._source, at_ns=frame.captured_ns)
        if self._queue.offer(trigger, is_refusable=False) is not None:
            return
        self._queue.count("no_frame")
        why = "the camera was triggered, but its frame was lost on the way; check the connection"
        refused = self._mailbox.put(
            missing_frame(self._camera, frame.frame_id, trigger, why), wait=wait
        )
        if refused is not None:
            self._on_refused(refused)

    def _lost_before(self, frame: Frame) -> int:
        acquisition = frame.acquisition
        number = acquisition.block_id if acquisition is not None else None
        number = frame.frame_id if number is None else number
        with self._lock:
            last, self._last = self._last, number
        if last is None:
            return 0
        if number < last and last >= _NEAR_END and last <= _LAST_OF_16_BITS:
            number += _LAST_OF_16_BITS
        lost = number - last - 1
        if lost > MAX_GAP:
            log.warning("frame numbers jumped camera=%s from=%d to=%d", self._camera, last, number)
            return 0
        return max(0, lost)
