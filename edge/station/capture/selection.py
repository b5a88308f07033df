"""Which of the camera's frames are parts: the seam between numbering and mailbox."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from edge.frame import Frame


class FrameSelector(Protocol):
    """Chooses the frames that are judged. One thread calls it at a time."""

    def take(self, frame: Frame) -> Frame | None:
        """Look at the next frame of the camera, faults included.

        Returns:
            The frame to judge now, which may be an earlier one; None when there is none.
        """

    @property
    def held_ns(self) -> Collection[int]:
        """Capture times of earlier frames that `take` or `finish` may still return."""

    def finish(self) -> Frame | None:
        """Return a frame that is still owed a result at the end of the source; call until None."""


class EveryFrame:
    """Every frame is a part."""

    def take(self, frame: Frame) -> Frame | None:
        """Return the frame itself."""
        return frame

    @property
    def held_ns(self) -> Collection[int]:
        """Capture times of frames that are held back: none."""
        return ()

    def finish(self) -> Frame | None:
        """Return None: nothing is held back."""
        return None
