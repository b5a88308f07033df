"""The interface of a camera: open, read frames, close."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edge.frame import EarlierResult, Frame, Part


class FrameSource(Protocol):
    """One camera, or a stand-in for one such as a folder of pictures."""

    def open(self) -> None:
        """Open or reopen.

        Raises:
            CameraUnavailable: with what was expected, what was found and what to do.
        """

    def read(self) -> Frame | None:
        """Block until the next frame; None is the regular end of a finite source.

        A part whose picture is broken comes as a Frame with a fault, never as an exception.

        Raises:
            CameraUnavailable: the camera was lost, or closed from another thread.
            CameraTimeout: the camera is there but delivers nothing.
        """

    def close(self) -> None:
        """Give the camera back and end a waiting `read`; any thread, any number of times."""


@runtime_checkable
class TriggeredSource(FrameSource, Protocol):
    """A camera that takes a picture when it is told to.

    While it is armed (`TriggerMode: On` among the features) its `read` waits as long as it takes:
    a camera without a trigger is not silent. It still raises when the camera is lost.
    """

    def fire(self) -> None:
        """Take a picture now; `read` returns it. Any thread may call.

        Raises:
            CameraError: the camera is closed, lost or does not take the trigger.
        """


def frame_now(
    camera: str,
    frame_id: int,
    pixels_bgr: NDArray[np.uint8] | None,
    *,
    fault: str | None = None,
    part: Part | None = None,
    is_simulated: bool = False,
    earlier: EarlierResult | None = None,
) -> Frame:
    """Stamp a capture with both clocks."""
    return Frame(
        camera=camera,
        frame_id=frame_id,
        captured_ns=time.monotonic_ns(),
        captured_at=datetime.now(timezone.utc),
        pixels_bgr=pixels_bgr,
        fault=fault,
        part=part,
        is_simulated=is_simulated,
        earlier=earlier,
    )
