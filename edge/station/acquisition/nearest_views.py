"""Brings the frames of cameras that run freely together: those captured at about the same time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from edge.config.views import MatchingSettings, ViewSettings
from edge.drop_counts import DropCounts
from edge.frame import Frame
from edge.station.acquisition.missing import missing_frame
from edge.station.acquisition.recent_frames import RecentFrames
from edge.station.capture.camera_state import CameraState
from edge.station.capture.mailbox import Mailbox

_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class _Part:
    """A part whose other views may not have come yet."""

    frame: Frame
    due_ns: int


class NearestViews:
    """Stands between several cameras that run freely and one mailbox.

    One camera watches: each of its chosen frames is a part. The view of another camera is its frame
    that was captured nearest to that, within `matching.within_ms`. A part waits until each camera
    has come so far, is away, or `matching.frame_timeout_ms` is over; then it goes on with a
    stand-in for each view that is missing. Parts keep their order, and at most `queue_size` wait:
    one more sends the oldest on. Any thread may call.

    Args:
        cameras: of the station, in the order of the station file.
        watching: name of the one that watches.
        matching: window and patience.
        mailbox: gets the parts.
        drops: counts the frames of the others that were no view, as (views, unmatched).
        on_refused: gets every part that a full mailbox refused.
    """

    def __init__(
        self,
        cameras: Sequence[ViewSettings],
        watching: str,
        matching: MatchingSettings,
        mailbox: Mailbox,
        drops: DropCounts,
        *,
        on_refused: Callable[[Frame], None],
    ):
        self._cameras = cameras
        self._watching = watching
        self._within_ms = matching.within_ms
        self._patience_ns = int(matching.frame_timeout_ms * 1e6)
        self._mailbox = mailbox
        self._drops = drops
        self._on_refused = on_refused
        self._most = next(each.queue_size for each in cameras if each.name == watching)
        self._recent = {
            camera.name: RecentFrames(int(matching.within_ms * 1e6), camera.queue_size)
            for camera in cameras
            if camera.name != watching
        }
        self._away = set(self._recent)
        self._ended: set[str] = set()
        self._changed = threading.Condition()
        self._parts: deque[_Part] = deque()
        self._is_ending = False

    def start(self) -> None:
        """Begin to watch the time."""
        threading.Thread(target=self._keep_time, name="views", daemon=True).start()

    def put(self, frame: Frame, *, wait: bool) -> Frame | None:  # noqa: ARG002
        """Take the chosen frame of the camera that watches; parts that are refused are told."""
        with self._changed:
            self._parts.append(_Part(frame, time.monotonic_ns() + self._patience_ns))
            self._changed.notify_all()
        self._pass_on()
        return None

    def close(self) -> None:
        """No further part comes; the mailbox is closed once those that wait have gone on."""
        with self._changed:
            self._is_ending = True
        self._pass_on()

    def watched(self, now_ns: int, awaited_ns: Collection[int]) -> None:
        """Note how far the camera that watches has come: which frames of the others matter.

        Args:
            now_ns: capture time of its newest frame.
            awaited_ns: capture times of earlier frames that may still be chosen.
        """
        with self._changed:
            times = [part.frame.captured_ns for part in self._parts]
            for recent in self._recent.values():
                self._unmatched(recent.keep_for([*times, *awaited_ns], now_ns))

    def add(self, camera: str, frame: Frame) -> None:
        """Take the next frame of another camera."""
        with self._changed:
            self._unmatched(1 if self._is_ended else self._recent[camera].add(frame))
        self._pass_on()

    def camera_changed(self, camera: str, state: CameraState) -> None:
        """Note that a camera came, went or ended: one that is away is not waited for."""
        with self._changed:
            self._away = (self._away - {camera}) | (set() if state.connected else {camera})
            if state.ended:
                self._ended.add(camera)
        self._pass_on()

    def stop(self) -> None:
        """Close the mailbox now; parts that wait are dropped."""
        self._mailbox.close()
        with self._changed:
            self._is_ending = True
            while self._parts:  # the closed mailbox counts them
                self._mailbox.put(self._parts.popleft().frame, wait=False)
        self._pass_on()

    def _pass_on(self) -> None:
        """Hand over the parts that wait for nothing any more."""
        refused = []
        with self._changed:  # held over the hand-over, so that parts keep their order
            while self._parts and self._may_go(self._parts[0]):
                part = self._with_views(self._parts.popleft().frame)
                refused.append(self._mailbox.put(part, wait=False))
                if any(view.is_missing and self._is_over(view) for view in (part, *part.others)):
                    self._is_ending = True
                    self._mailbox.close()
            if self._is_ended:
                self._end()
        for each in filter(None, refused):
            self._on_refused(each)

    def _may_go(self, part: _Part) -> bool:
        if len(self._parts) > self._most or part.due_ns <= time.monotonic_ns():
            return True
        at_ns = part.frame.captured_ns
        return all(
            recent.reaches(at_ns) or camera in self._away for camera, recent in self._recent.items()
        )

    def _with_views(self, watched: Frame) -> Frame:
        first, *others = (
            replace(self._view(camera.name, watched), is_optional=camera.optional)
            for camera in self._cameras
        )
        return replace(first, part=watched.part or first.part, others=tuple(others))

    def _view(self, camera: str, watched: Frame) -> Frame:
        if camera == self._watching:
            return watched
        recent = self._recent[camera]
        frame = recent.use(watched.captured_ns)
        if frame is not None:
            return frame
        why = (
            f"{camera} took no picture within {self._within_ms:g} ms of that of {self._watching}; "
            "check the camera, its frame rate and matching.within_ms"
        )
        missing = missing_frame(camera, recent.newest_id, None, why)
        at_ns, at = watched.captured_ns, watched.captured_at
        return replace(missing, captured_ns=at_ns, captured_at=at)

    def _is_over(self, view: Frame) -> bool:
        """Tell whether no part has this view any more, which every part needs."""
        return view.camera in self._ended and not view.is_optional

    @property
    def _is_ended(self) -> bool:
        return self._is_ending and not self._parts

    def _end(self) -> None:
        self._mailbox.close()
        for recent in self._recent.values():
            self._unmatched(recent.clear())
        self._changed.notify_all()

    def _unmatched(self, count: int) -> None:
        if count:
            self._drops.add("views", "unmatched", count)

    def _keep_time(self) -> None:
        while True:
            with self._changed:
                if self._is_ended:
                    return
                left_ns = self._parts[0].due_ns - time.monotonic_ns() if self._parts else None
                wait_s = _WAIT_S if left_ns is None else min(_WAIT_S, max(0.0, left_ns / 1e9))
                self._changed.wait(wait_s)
            self._pass_on()
