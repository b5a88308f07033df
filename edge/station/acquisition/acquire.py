"""Makes what acquires frames as the station file asks: freely, or one per trigger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from edge.cameras.factory import is_live
from edge.cameras.source import FrameSource
from edge.config.station import StationConfig
from edge.drop_counts import DropCounts
from edge.frame import Frame
from edge.station.acquisition.free_views_capture import FreeViewsCapture, check_is_live
from edge.station.acquisition.several_captures import SeveralCaptures
from edge.station.acquisition.triggered_capture import TriggeredCapture, triggered_source
from edge.station.acquisition.views_capture import ViewsCapture
from edge.station.capture.camera_state import CameraState
from edge.station.capture.capture import Capture, make_mailbox
from edge.station.capture.mailbox import Mailbox
from edge.station.capture.presence_selector import make_selector
from edge.station.commands.jobs import JobControl
from edge.station.recipes.changeover import Changeover
from edge.trigger import Trigger
from edge.triggers.queue import TriggerQueue
from edge.triggers.source import NotTaken

AnyCapture = Capture | TriggeredCapture | ViewsCapture | FreeViewsCapture


def make_sources(config: StationConfig) -> list[FrameSource]:
    """Return the closed source of each camera, armed for the trigger.

    Raises:
        ConfigError: an address is wrong, or a camera cannot be triggered or matched so.
    """
    cameras = config.cameras or (config.camera,)
    if config.cameras and config.trigger.is_free:
        for camera in cameras:
            check_is_live(camera)
    return [triggered_source(camera, config.trigger) for camera in cameras]


def camera_states(config: StationConfig, capture: AnyCapture) -> Mapping[str, CameraState]:
    """Return the state of each camera now, by its name."""
    if isinstance(capture, SeveralCaptures):
        return capture.states
    return {config.camera.name: capture.state}


def request_trigger(
    capture: AnyCapture, arguments: Mapping[str, object]
) -> Trigger | NotTaken | None:
    """Announce a part by software; None where the station has other triggers or none.

    Raises:
        ValueError: one line saying what is wrong with the arguments.
    """
    if isinstance(capture, Capture | FreeViewsCapture):
        return None
    return capture.request(arguments)


def acquisition_mailbox(config: StationConfig, drops: DropCounts) -> Mailbox:
    """Return the mailbox; that of a triggered station has room for all open triggers.

    Found parts are never replaced by newer ones: one that finds no room gets a result all the same.
    """
    if config.part.by == "presence":
        return Mailbox("every", config.camera.queue_size, drops)
    if config.trigger.is_free:
        return make_mailbox(config.camera, drops)
    return Mailbox("every", config.trigger.queue + 1, drops)


def make_trigger_queue(
    config: StationConfig, changeover: Changeover, jobs: JobControl
) -> TriggerQueue | None:
    """Return what takes triggers while parts are judged; None where every frame is a part."""
    if config.trigger.is_free:
        return None
    return TriggerQueue(
        config.trigger.queue, lambda: jobs.is_judging and changeover.current is not None
    )


def takes_as_they_come(config: StationConfig) -> bool:
    """Tell whether parts are lost unless they are judged: a live camera, or triggers."""
    return is_live(config.camera) or not config.trigger.is_free


def make_capture(
    config: StationConfig,
    sources: Sequence[FrameSource],
    queue: TriggerQueue | None,
    mailbox: Mailbox,
    drops: DropCounts,
    *,
    on_refused: Callable[[Frame], None],
    on_change: Callable[[str, CameraState], None],
) -> AnyCapture:
    """Return what reads the cameras; with a queue of triggers, one frame of each per trigger.

    `on_change` gets the name and the new state of a camera.

    Raises:
        ConfigError: the port of software triggers is taken, or a picture of the belt is no use.
    """
    if config.cameras and queue is None:
        return FreeViewsCapture(
            config, sources, mailbox, drops, on_refused=on_refused, on_change=on_change
        )
    if config.cameras and queue is not None:
        return ViewsCapture(
            config.cameras,
            config.trigger,
            sources,
            queue,
            mailbox,
            drops,
            on_refused=on_refused,
            on_change=on_change,
        )
    name, (source,) = config.camera.name, sources
    if queue is None:
        return Capture(
            config.camera,
            source,
            mailbox,
            drops,
            on_refused=on_refused,
            on_change=partial(on_change, name),
            selector=make_selector(config.part, drops, is_live=is_live(config.camera)),
        )
    return TriggeredCapture(
        config.camera,
        config.trigger,
        source,
        queue,
        mailbox,
        drops,
        on_refused=on_refused,
        on_change=partial(on_change, name),
    )
