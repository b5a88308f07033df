"""A thread that tells a camera to take its picture: drivers may hang, triggers must not."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edge.cameras.source import TriggeredSource
from edge.errors import CameraError
from edge.redaction import redacted
from edge.trigger import Trigger


class Firing:
    """Fires one camera.

    Args:
        source: the camera.
        name: of the camera, for the thread.
        on_failed: gets the trigger that the camera did not take, and one line saying why.
    """

    def __init__(
        self, source: TriggeredSource, name: str, on_failed: Callable[[Trigger, str], None]
    ):
        self._source = source
        self._on_failed = on_failed
        self._changed = threading.Condition()
        self._wanted: Trigger | None = None
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name=f"fire-{name}", daemon=True)
        self._thread.start()

    def request(self, trigger: Trigger) -> None:
        """Fire soon; returns at once."""
        with self._changed:
            self._wanted = trigger
            self._changed.notify_all()

    def stop(self) -> None:
        """Fire no more; returns at once."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def _run(self) -> None:
        while (trigger := self._next()) is not None:
            self._fire(trigger)

    def _fire(self, trigger: Trigger) -> None:
        try:
            self._source.fire()
        except CameraError as error:
            self._on_failed(trigger, redacted(str(error)))

    def _next(self) -> Trigger | None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped or self._wanted is not None)
            wanted, self._wanted = self._wanted, None
            return None if self._is_stopped else wanted
