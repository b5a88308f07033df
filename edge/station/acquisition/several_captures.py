"""The captures of several cameras, with the public face of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Generic, TypeVar

from edge.config.views import ViewSettings
from edge.station.acquisition.triggered_capture import TriggeredCapture
from edge.station.capture.camera_state import CameraState
from edge.station.capture.capture import Capture

OnChange = Callable[[str, CameraState], None]
One = TypeVar("One", Capture, TriggeredCapture)


class SeveralCaptures(Generic[One]):
    """Runs the captures of all cameras. It is used as `Capture` is.

    Each camera has threads of its own: one that hangs holds up no other. An optional camera may be
    absent at the start.

    Args:
        cameras: in the order of the station file.
        captures: by name of the camera, in the order in which they are started.
    """

    def __init__(self, cameras: Sequence[ViewSettings], captures: Mapping[str, One]):
        self._cameras = cameras
        self._captures: Mapping[str, One] = captures

    def open(self) -> None:
        """Open the cameras for the first time; optional ones are awaited.

        Raises:
            CameraError: as `Capture.open`.
        """
        for camera in self._cameras:
            if not camera.optional:
                self._captures[camera.name].open()

    def start(self) -> None:
        """Start reading all cameras.

        Raises:
            EdgeError: a source of triggers cannot be used.
        """
        for capture in self._captures.values():
            capture.start()

    def stop(self) -> None:
        """Stop reading and close the cameras."""
        with ExitStack() as stack:  # all of them, whatever one of them raises
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
        return {camera.name: self._captures[camera.name].state for camera in self._cameras}

    def check(self, now_ns: int) -> None:
        """Replace readers that are stuck in their drivers; raises as `Capture.check`."""
        for capture in self._captures.values():
            capture.check(now_ns)
