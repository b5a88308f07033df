"""Brings the frames of several cameras together: one part for each trigger."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from edge.config.views import ViewSettings
from edge.frame import Frame
from edge.station.capture.mailbox import Mailbox
from edge.trigger import Trigger
from edge.triggers.queue import TriggerQueue
from edge.triggers.source import NotTaken


class Views:
    """Stands between the pairings of several cameras and one mailbox.

    Each pairing gives each trigger one frame or one stand-in, in the order of the triggers. With
    the last of them the part goes on: the first camera's frame, and the others' with it. Any thread
    may call.

    Args:
        cameras: of the station, in the order of the station file.
        queue: the ledger of triggers.
        mailbox: gets the parts.
    """

    def __init__(self, cameras: Sequence[ViewSettings], queue: TriggerQueue, mailbox: Mailbox):
        self._cameras = cameras
        self._queue = queue
        self._mailbox = mailbox
        self._lock = threading.Lock()
        self._parts: dict[str, dict[str, Frame]] = {}
        self._is_ending = False

    def begin(self, trigger: Trigger) -> None:
        """Await all views for a trigger that was taken."""
        with self._lock:
            self._parts[trigger.id] = {}

    def add(self, camera: str, frame: Frame) -> Frame | None:
        """Take the frame or the stand-in of one camera; returns the part that was refused."""
        trigger = frame.trigger
        if trigger is None:
            raise ValueError("expected a frame with its trigger")
        with self._lock:  # held over the hand-over, so that parts keep their order
            frames = self._parts[trigger.id]
            frames[camera] = frame
            if len(frames) < len(self._cameras):
                return None
            del self._parts[trigger.id]
            part = self._part(frames)
            if any(view.is_missing for view in frames.values()):
                self._queue.count("no_frame")
            refused = self._mailbox.put(part, wait=False)
            self._close_if_over()
            return refused

    def end(self) -> None:
        """Take no more triggers, and close the mailbox once every open part has gone on."""
        self._queue.close()
        with self._lock:
            self._is_ending = True
            self._close_if_over()

    def count(self, what: str) -> None:
        """Count what happened to one camera; a part without a frame counts once, see `add`."""
        if what != "no_frame":
            self._queue.count(what)

    def _close_if_over(self) -> None:
        if self._is_ending and not self._parts:
            self._mailbox.close()

    def _part(self, frames: dict[str, Frame]) -> Frame:
        first, *others = (
            replace(frames[camera.name], is_optional=camera.optional) for camera in self._cameras
        )
        return replace(first, others=tuple(others))


class View:
    """One camera's side of `Views`: for its pairing both the ledger and the mailbox.

    Args:
        camera: its settings.
        views: where its frames meet the others'.
    """

    def __init__(self, camera: ViewSettings, views: Views):
        self._camera = camera
        self._views = views

    def offer(self, trigger: Trigger, *, is_refusable: bool = True) -> NotTaken | None:  # noqa: ARG002
        """Take the trigger: the ledger of all cameras has taken it before."""
        return None

    def count(self, what: str, n: int = 1) -> None:
        """Count `n` more of what happened to this camera."""
        for _ in range(n):
            self._views.count(what)

    def put(self, frame: Frame, *, wait: bool) -> Frame | None:  # noqa: ARG002
        """Hand a frame in; returns the part that was refused, if it was the last of its views."""
        return self._views.add(self._camera.name, frame)

    def close(self) -> None:
        """No frame comes any more: the end of the station, unless its parts do without this view.

        Stand-ins are taken all the same.
        """
        if not self._camera.optional:
            self._views.end()
