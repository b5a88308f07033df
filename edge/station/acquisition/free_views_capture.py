"""The captures of several cameras that run freely: one of them says when there is a part."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from functools import partial

from edge.cameras.factory import is_live
from edge.cameras.source import FrameSource
from edge.config.camera import CameraSettings
from edge.config.station import StationConfig
from edge.drop_counts import DropCounts
from edge.errors import ConfigError
from edge.frame import Frame
from edge.station.acquisition.nearest_views import NearestViews
from edge.station.acquisition.several_captures import OnChange, SeveralCaptures
from edge.station.capture.camera_state import CameraState
from edge.station.capture.capture import Capture
from edge.station.capture.mailbox import FrameTaker, Mailbox
from edge.station.capture.presence_selector import make_selector
from edge.station.capture.selection import FrameSelector


class FreeViewsCapture(SeveralCaptures[Capture]):
    """Reads cameras that run freely and gives each part its frame of each of them.

    The first camera watches, or the one that `part.camera` names. Each of its frames is a part, or
    with `part: {by: presence}` its best frame of what crosses the view.

    Args:
        config: of a station with several cameras and without a trigger.
        sources: one for each camera, closed.
        mailbox: gets the parts.
        drops: counts the frames that are no view of a part.
        on_refused: gets every part that a full mailbox refused.
        on_change: gets name and new state whenever a camera comes, goes or ends.

    Raises:
        ConfigError: a picture of the belt is no use.
    """

    def __init__(
        self,
        config: StationConfig,
        sources: Sequence[FrameSource],
        mailbox: Mailbox,
        drops: DropCounts,
        *,
        on_refused: Callable[[Frame], None],
        on_change: OnChange,
    ):
        watching = config.part.camera or config.camera.name
        self._views = views = NearestViews(
            config.cameras, watching, config.matching, mailbox, drops, on_refused=on_refused
        )
        self._on_change = on_change
        selector = _Watching(make_selector(config.part, drops, is_live=True), views)
        captures = {
            camera.name: Capture(
                camera,
                source,
                views if camera.name == watching else _OtherCamera(camera.name, views),
                drops,
                on_refused=on_refused,
                on_change=partial(self._changed, camera.name),
                selector=selector if camera.name == watching else None,
            )
            for camera, source in zip(config.cameras, sources, strict=True)
        }
        # It is started last: the first part should find the others' frames.
        watched = {watching: captures.pop(watching)}
        super().__init__(config.cameras, captures | watched)

    def start(self) -> None:
        """Start reading all cameras."""
        self._views.start()
        super().start()

    def stop(self) -> None:
        """Take no more parts, stop reading, close the cameras and the mailbox."""
        with ExitStack() as stack:  # all of it, whatever raises
            stack.callback(super().stop)
            stack.callback(self._views.stop)

    def _changed(self, camera: str, state: CameraState) -> None:
        self._views.camera_changed(camera, state)
        self._on_change(camera, state)


def check_is_live(camera: CameraSettings) -> None:
    """Refuse a source whose frames wait until they are read.

    Raises:
        ConfigError: its frames have no time of capture to be matched by.
    """
    if not is_live(camera):
        raise ConfigError(
            f"cameras: {camera.name}: expected a live camera (test:// with fps), got "
            f"{camera.source.partition('://')[0]}://, whose frames wait to be read: without a "
            "trigger, views are matched by their time of capture; use a trigger such as interval"
        )


class _Watching(FrameSelector):
    """Tells the views which capture times matter while a selector chooses the parts."""

    def __init__(self, selector: FrameSelector, views: NearestViews):
        self._selector = selector
        self._views = views

    def take(self, frame: Frame) -> Frame | None:
        chosen = self._selector.take(frame)
        given = () if chosen is None else (chosen.captured_ns,)
        self._views.watched(frame.captured_ns, (*self._selector.held_ns, *given))
        return chosen

    @property
    def held_ns(self) -> Collection[int]:
        return self._selector.held_ns

    def finish(self) -> Frame | None:
        return self._selector.finish()


class _OtherCamera(FrameTaker):
    """Where a camera that does not watch puts its frames."""

    def __init__(self, camera: str, views: NearestViews):
        self._camera = camera
        self._views = views

    def put(self, frame: Frame, *, wait: bool) -> Frame | None:  # noqa: ARG002
        self._views.add(self._camera, frame)
        return None

    def close(self) -> None:
        """Parts that were seen may still get their views; its state tells the end."""
