"""The frames of one camera that may still be the view of a part that another camera sees."""

from __future__ import annotations

from collections.abc import Collection

from edge.frame import Frame


class RecentFrames:
    """Keeps the frames that were captured lately, or nearest to times that are awaited.

    Holds at most one frame per awaited time and `most` others. It does not lock.

    Args:
        within_ns: how far from a time the nearest frame may have been captured.
        most: frames that are kept for times to come.
    """

    def __init__(self, within_ns: int, most: int):
        self._within_ns = within_ns
        self._most = most
        self._frames: list[Frame] = []
        self._used: set[int] = set()
        self._awaited_ns: Collection[int] = ()
        self._from_ns = 0

    def add(self, frame: Frame) -> int:
        """Take the newest frame; returns how many frames go that were no view."""
        self._frames.append(frame)
        return self._forget()

    def keep_for(self, awaited_ns: Collection[int], from_ns: int) -> int:
        """Say which capture times matter: those awaited, and all from `from_ns` on.

        Returns:
            How many frames go that were no view.
        """
        self._awaited_ns, self._from_ns = awaited_ns, from_ns
        return self._forget()

    def use(self, at_ns: int) -> Frame | None:
        """Return the frame captured nearest to a time; None where none is near enough."""
        frame = self._nearest(at_ns)
        if frame is not None:
            self._used.add(frame.frame_id)
        return frame

    def reaches(self, at_ns: int) -> bool:
        """Tell whether no later frame can be nearer to a time."""
        return bool(self._frames) and self._frames[-1].captured_ns >= at_ns

    @property
    def newest_id(self) -> int:
        """Id of the newest frame, 0 before the first."""
        return self._frames[-1].frame_id if self._frames else 0

    def clear(self) -> int:
        """Drop all frames; returns how many were no view."""
        unused = sum(frame.frame_id not in self._used for frame in self._frames)
        self._frames, self._used = [], set()
        return unused

    def __len__(self) -> int:
        return len(self._frames)

    def _nearest(self, at_ns: int) -> Frame | None:
        nearest = min(self._frames, key=lambda f: abs(f.captured_ns - at_ns), default=None)
        if nearest is None or abs(nearest.captured_ns - at_ns) > self._within_ns:
            return None
        return nearest

    def _forget(self) -> int:
        oldest_ns = self._from_ns - self._within_ns
        kept = [frame for frame in self._frames if frame.captured_ns >= oldest_ns][-self._most :]
        kept += self._frames[-1:]  # whatever its age, it tells how far the camera has come
        kept += filter(None, map(self._nearest, self._awaited_ns))
        ids = {frame.frame_id for frame in kept}
        gone = {frame.frame_id for frame in self._frames} - ids
        self._frames = [frame for frame in self._frames if frame.frame_id in ids]
        unused = len(gone - self._used)
        self._used -= gone
        return unused
