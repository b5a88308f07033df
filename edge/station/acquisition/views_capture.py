"""The captures of several cameras, with the public face of one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from edge.cameras.source import FrameSource
from edge.config.trigger import TriggerSettings
from edge.config.views import ViewSettings
from edge.drop_counts import DropCounts
from edge.frame import Frame
from edge.station.acquisition.triggered_capture import TriggeredCapture
from edge.station.acquisition.views import View, Views
from edge.station.capture.camera_state import CameraState
from edge.station.capture.mailbox import Mailbox
from edge.trigger import Trigger
from edge.triggers.queue import TriggerQueue
from edge.triggers.source import NotTaken

OnChange = Callable[[str, CameraState], None]


class ViewsCapture:
    """Has all cameras take their picture at each trigger. It is used as `Capture` is.

    Each camera has threads of its own: one that hangs holds up no other, and its view is missing
    once `trigger.frame_timeout_ms` is over. An optional camera may be absent at the start, too.

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
        self._cameras = cameras
        self._captures: dict[str, TriggeredCapture] = {}
        for index, (camera, source) in enumerate(zip(cameras, sources, strict=True)):
            view = View(camera, self._views)
            self._captures[camera.name] = TriggeredCapture(
                camera,
                trigger,
                source,
                view,
                view,
                drops,
                on_refused=on_refused,
                on_change=_named(on_change, camera.name),
                fire_all=self._offer,
                has_doors=index == 0,
            )

    def open(self) -> None:
        """Open the cameras for the first time; optional ones are awaited.

        Raises:
            CameraError: as `Capture.open`.
        """
        for camera in self._cameras:
            if not camera.optional:
                self._captures[camera.name].open()

    def start(self) -> None:
        """Start reading all cameras, then let triggers in.

        Raises:
            EdgeError: a source of triggers cannot be used.
        """
        for capture in reversed(self._captures.values()):  # the doors are the first one's
            capture.start()

    def stop(self) -> None:
        """Let no trigger in, stop reading, close the cameras and the mailbox."""
        self._queue.close()
        with ExitStack() as stack:  # all of them, whatever one of them raises
            stack.callback(self._views.end)
            for capture in self._captures.values():
                stack.callback(capture.stop)

    def retry(self) -> bool:
        """Try lost cameras again now; False when none is lost."""
        are_lost = [capture.retry() for capture in self._captures.values()]
        return any(are_lost)

    def join(self, timeout_s: float) -> bool:
        """Wait for the threads; False when one is stuck in its driver."""
        share_s = timeout_s / len(self._captures)
        return all(capture.join(share_s) for capture in self._captures.values())

    @property
    def states(self) -> Mapping[str, CameraState]:
        """The state of each camera now, by its name."""
        return {name: capture.state for name, capture in self._captures.items()}

    def check(self, now_ns: int) -> None:
        """Replace readers that are stuck in their drivers; raises as `Capture.check`."""
        for capture in self._captures.values():
            capture.check(now_ns)

    def request(self, arguments: Mapping[str, object]) -> Trigger | NotTaken | None:
        """Announce a part by software; None where the station file says another kind.

        Raises:
            ValueError: one line saying what is wrong with the arguments.
        """
        return self._captures[self._cameras[0].name].request(arguments)

    def _offer(self, trigger: Trigger) -> NotTaken | None:
        """Take a trigger for all cameras, or for none."""
        with self._taking:  # every camera gets the triggers in the same order
            refusal = self._queue.offer(trigger)
            if refusal is None:
                self._views.begin(trigger)
                for capture in self._captures.values():
                    capture.expect(trigger)
        return refusal


def _named(on_change: OnChange, name: str) -> Callable[[CameraState], None]:
    return lambda state: on_change(name, state)
