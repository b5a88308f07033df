"""The captures of several cameras that take a picture at each trigger."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from edge.cameras.source import FrameSource
from edge.config.trigger import TriggerSettings
from edge.config.views import ViewSettings
from edge.drop_counts import DropCounts
from edge.frame import Frame
from edge.station.acquisition.several_captures import OnChange, SeveralCaptures
from edge.station.acquisition.triggered_capture import TriggeredCapture
from edge.station.acquisition.views import View, Views
from edge.station.capture.camera_state import CameraState
from edge.station.capture.mailbox import Mailbox
from edge.trigger import Trigger
from edge.triggers.queue import TriggerQueue
from edge.triggers.source import NotTaken


class ViewsCapture(SeveralCaptures[TriggeredCapture]):
    """Has all cameras take their picture at each trigger.

    The view of a camera that hangs is missing once `trigger.frame_timeout_ms` is over.

    Args:
        cameras: in the order of the station file; the doors for triggers are the first one's.
        trigger: kind of the triggers, patience and deadline.
        sources: one for each camera, closed, from `triggered_source`.
        queue: takes and refuses triggers.
        mailbox: gets the parts; it must have room for all open triggers.
        drops: counts frames that no trigger asked for.
        on_refused: gets every part that a full mailbox refused.
        on_change: gets name and new state whenever a camera comes, goes or ends.

    Raises:
        ConfigError: the port of software triggers is taken.
    """

    def __init__(
        self,
        cameras: Sequence[ViewSettings],
        trigger: TriggerSettings,
        sources: Sequence[FrameSource],
        queue: TriggerQueue,
        mailbox: Mailbox,
        drops: DropCounts,
        *,
        on_refused: Callable[[Frame], None],
        on_change: OnChange,
    ):
        self._queue = queue
        self._views = Views(cameras, queue, mailbox)
        self._taking = threading.Lock()
        self._first = cameras[0].name
        captures: dict[str, TriggeredCapture] = {}
        for camera, source in zip(cameras, sources, strict=True):
            view = View(camera, self._views)
            captures[camera.name] = TriggeredCapture(
                camera,
                trigger,
                source,
                view,
                view,
                drops,
                on_refused=on_refused,
                on_change=_named(on_change, camera.name),
                fire_all=self._offer,
                has_doors=camera.name == self._first,
            )
        # The doors are the first one's: triggers come in once all cameras are read.
        super().__init__(cameras, dict(reversed(captures.items())))

    def stop(self) -> None:
        """Let no trigger in, stop reading, close the cameras and the mailbox."""
        self._queue.close()
        with ExitStack() as stack:  # all of them, whatever one of them raises
            stack.callback(self._views.end)
            stack.callback(super().stop)

    def request(self, arguments: Mapping[str, object]) -> Trigger | NotTaken | None:
        """Announce a part by software; None where the station file says another kind.

        Raises:
            ValueError: one line saying what is wrong with the arguments.
        """
        return self._captures[self._first].request(arguments)

    def _offer(self, trigger: Trigger) -> NotTaken | None:
        """Take a trigger for all cameras, or for none."""
        with self._taking:  # every camera gets the triggers in the same order
            refusal = self._queue.offer(trigger)
            if refusal is None:
                self._views.begin(trigger)
                for camera in self._cameras:
                    self._captures[camera.name].expect(trigger)
        return refusal


def _named(on_change: OnChange, name: str) -> Callable[[CameraState], None]:
    return lambda state: on_change(name, state)
