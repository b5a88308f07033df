"""The capture of a triggered camera, with the public face of the free-running one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from edge.cameras.factory import is_live, make_source
from edge.cameras.fired import FiredSource
from edge.cameras.source import FrameSource, TriggeredSource
from edge.config.camera import CameraSettings
from edge.config.trigger import TriggerSettings
from edge.drop_counts import DropCounts
from edge.frame import Frame
from edge.messages.identity import uuid7
from edge.station.acquisition.firing import Firing
from edge.station.acquisition.frame_triggers import FrameTriggers
from edge.station.acquisition.pairing import Pairing
from edge.station.capture.camera_state import CameraState
from edge.station.capture.capture import Capture, SourceFactory
from edge.station.capture.mailbox import FrameTaker
from edge.trigger import Kind, Trigger
from edge.triggers.encoder import CountFile, EncoderTriggers
from edge.triggers.hardware import armed
from edge.triggers.http_door import HttpDoor
from edge.triggers.interval import IntervalTriggers
from edge.triggers.queue import TriggerLedger
from edge.triggers.software import SoftwareTriggers
from edge.triggers.source import Fire, NotTaken, TriggerMaker, TriggerSource

_STOP_S = 0.1


def triggered_source(camera: CameraSettings, trigger: TriggerSettings) -> FrameSource:
    """Return the closed source of a camera, armed for the trigger.

    Raises:
        ConfigError: the address is wrong, or the camera cannot be triggered so.
    """
    settings = armed(camera, trigger)
    source = make_source(settings)
    if trigger.is_free or trigger.is_in_camera or is_live(settings):
        return source
    return FiredSource(source)


class TriggeredCapture:
    """Keeps frames coming for triggers. It is used as `edge.station.capture.capture.Capture` is.

    A camera that can be fired is; of one that runs freely, the first frame captured after the
    trigger is taken. The stall watch runs only while a trigger waits, except for cameras that run
    freely anyway.

    Args:
        camera: its settings.
        trigger: kind of the triggers, patience and deadline.
        source: the camera, closed, from `triggered_source`.
        queue: takes and refuses triggers.
        mailbox: gets the frames; it must have room for all open triggers.
        drops: counts frames that no trigger asked for.
        on_refused: gets every frame that a full mailbox refused.
        on_change: gets the new state whenever the camera comes, goes or ends.
        source_factory: makes another source when the driver of the present one is stuck.
        fire_all: takes what the doors announce, for several cameras; None for this one alone.
        has_doors: triggers of software and of the host come in here.

    Raises:
        ConfigError: the port of software triggers is taken.
    """

    def __init__(
        self,
        camera: CameraSettings,
        trigger: TriggerSettings,
        source: FrameSource,
        queue: TriggerLedger,
        mailbox: FrameTaker,
        drops: DropCounts,
        *,
        on_refused: Callable[[Frame], None],
        on_change: Callable[[CameraState], None],
        source_factory: SourceFactory | None = None,
        fire_all: Fire | None = None,
        has_doors: bool = True,
    ):
        self._camera = camera
        self._trigger = trigger
        self._queue = queue
        self._on_change = on_change
        self._fire_all = fire_all
        self._make = source_factory or (lambda settings: triggered_source(settings, trigger))
        maker = TriggerMaker(trigger, uuid7)
        is_fired = isinstance(source, TriggeredSource) and not trigger.is_in_camera
        self._firing: Firing | None = None
        self._pairing: Pairing | FrameTriggers
        if trigger.is_in_camera:
            kind: Kind = "hardware" if trigger.by == "hardware" else "encoder"
            self._pairing = FrameTriggers(
                camera.name, kind, maker, queue, mailbox, drops, on_refused=on_refused
            )
        else:
            self._pairing = Pairing(
                camera.name,
                trigger,
                queue,
                mailbox,
                drops,
                on_refused=on_refused,
                fire=self._fire if is_fired else None,
            )
        self._use(source)
        self._capture = Capture(
            camera,
            source,
            self._pairing,
            drops,
            on_refused=on_refused,
            on_change=self._changed,
            source_factory=self._replace,
            silence=self._pairing.silence_s if is_fired or trigger.is_in_camera else None,
        )
        self._software: SoftwareTriggers | None = None
        self._sources: Sequence[TriggerSource] = ()
        if has_doors:
            self._software, self._sources = self._doors(maker)

    def open(self) -> None:
        """Open the camera for the first time; raises as `Capture.open`."""
        self._capture.open()

    def start(self) -> None:
        """Start reading, then let triggers in.

        Raises:
            EdgeError: a source of triggers cannot be used.
        """
        self._capture.start()
        self._pairing.start()
        for source in self._sources:
            source.start(self._offer)

    def stop(self) -> None:
        """Let no trigger in, stop reading, close the camera and the mailbox."""
        self._queue.close()
        with ExitStack() as stack:  # all of them, whatever one of them raises
            for source in self._sources:
                stack.callback(source.stop, _STOP_S)
            stack.callback(self._capture.stop)
        if self._firing is not None:
            self._firing.stop()

    def retry(self) -> bool:
        """Try a lost camera again now; False when none is lost."""
        return self._capture.retry()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; False when it is stuck in the driver."""
        return self._capture.join(timeout_s)

    @property
    def state(self) -> CameraState:
        """The state now."""
        return self._capture.state

    def check(self, now_ns: int) -> None:
        """Replace a reader that is stuck in the driver; raises as `Capture.check`."""
        self._capture.check(now_ns)

    def request(self, arguments: Mapping[str, object]) -> Trigger | NotTaken | None:
        """Announce a part by software; None where the station file says another kind.

        Raises:
            ValueError: one line saying what is wrong with the arguments.
        """
        return None if self._software is None else self._software.request(arguments)

    def expect(self, trigger: Trigger) -> None:
        """Have the picture taken for a trigger that all cameras have in common."""
        if not isinstance(self._pairing, Pairing):
            raise TypeError("the camera triggers itself")
        self._pairing.expect(trigger)

    def _doors(
        self, maker: TriggerMaker
    ) -> tuple[SoftwareTriggers | None, Sequence[TriggerSource]]:
        trigger = self._trigger
        if trigger.by == "interval":
            return None, [IntervalTriggers(trigger.period_s or 0.0, maker)]
        if trigger.counts is not None:
            counts = CountFile(trigger.counts)
            return None, [EncoderTriggers(counts, trigger.counts_per_trigger, maker)]
        if trigger.by == "software":
            software = SoftwareTriggers(maker, self._offer)
            port = trigger.http_port
            return software, [] if port is None else [HttpDoor(port, software)]
        return None, []

    @property
    def _offer(self) -> Fire:
        if self._fire_all is not None:
            return self._fire_all
        if not isinstance(self._pairing, Pairing):
            raise TypeError("the camera triggers itself")
        return self._pairing.offer

    def _fire(self, trigger: Trigger) -> None:
        if self._firing is not None:
            self._firing.request(trigger)

    def _replace(self, camera: CameraSettings) -> FrameSource:
        source = self._make(camera)
        self._use(source)
        return source

    def _use(self, source: FrameSource) -> None:
        """Fire this source from now on; a thread that hangs in the one before is left to itself."""
        if isinstance(self._pairing, Pairing) and isinstance(source, TriggeredSource):
            if self._firing is not None:
                self._firing.stop()
            self._firing = Firing(source, self._camera.name, self._pairing.failed)

    def _changed(self, state: CameraState) -> None:
        if state.connected and isinstance(self._pairing, FrameTriggers):
            self._pairing.reopened()
        self._on_change(state)
