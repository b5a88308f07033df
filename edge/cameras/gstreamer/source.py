"""A GStreamer pipeline as a camera: what it delivers last is the next frame."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from edge.cameras.gstreamer.pipeline import Pipeline, Properties
from edge.cameras.gstreamer.sample import read_pixels
from edge.cameras.source import frame_now
from edge.errors import CameraError, CameraTimeout, CameraUnavailable
from edge.frame import Frame

_log = logging.getLogger(__name__)

# Sensors start and streams begin with a full picture: the first frame takes longer.
_OPEN_PATIENCE = 2
# Ours comes before the supervisor's: it gives the camera back.
_READ_PATIENCE = 0.8


def _no_properties() -> Properties:
    return {}


class PipelineSource:
    """Frames of a pipeline; its last element delivers raw video.

    A live pipeline that ends was lost, a recording that ends has ended. The frame id counts every
    picture that the pipeline delivered, so that those nobody took show as gaps.
    """

    def __init__(
        self,
        camera: str,
        shown: str,
        text: str,
        *,
        stall_timeout_s: float,
        advice: str = "",
        properties: Callable[[], Properties] = _no_properties,
    ):
        """Describe a pipeline; nothing is opened.

        Args:
            camera: name of the camera.
            shown: the address as messages show it.
            text: the pipeline as gst-launch-1.0 takes it, without a sink.
            stall_timeout_s: after this long without a frame a camera counts as lost, seconds.
            advice: what to do about an error of the pipeline, beginning with `; `.
            properties: element -> property -> value, asked for at each opening; for what must not
                be part of the text, such as a password.
        """
        self._camera = camera
        self._shown = shown
        self._text = text
        self._stall_timeout_s = stall_timeout_s
        self._advice = advice
        self._properties = properties
        self._lock = threading.Lock()
        self._running: Pipeline | None = None
        self._first: Any = None
        self._next_id = 0

    def open(self) -> None:
        """Start the pipeline and wait for its first picture."""
        self.close()
        try:
            running = Pipeline(self._text, self._properties(), self._next_id)
        except CameraError as error:
            raise self._unavailable(str(error)) from None
        with self._lock:
            self._running = running
        try:
            running.start()
            self._first = self._take(running, _OPEN_PATIENCE)
            if self._first is None:
                raise CameraUnavailable("the stream ended before its first picture")
            running.find_out_if_live()
        except CameraTimeout as error:
            self.close()
            raise CameraTimeout(f"{self._camera}: {self._shown}: {error}{self._advice}") from None
        except CameraUnavailable as error:
            self.close()
            raise self._unavailable(f"{error}{self._advice}") from None

    def read(self) -> Frame | None:
        """Return the newest frame; None at the end of a recording."""
        running, sample = self._running, self._first
        self._first = None
        try:
            if running is None:
                raise CameraUnavailable("closed")
            sample = sample or self._take(running, _READ_PATIENCE)
            if sample is None and running.is_live:
                raise CameraUnavailable(f"the stream ended; check the camera{self._advice}")
        except CameraTimeout as error:
            raise CameraTimeout(f"{self._camera}: {self._shown}: {error}{self._advice}") from None
        except CameraUnavailable as error:
            raise self._unavailable(str(error)) from None
        return self._frame(*sample) if sample is not None else None

    def close(self) -> None:
        """Stop the pipeline and end a waiting `read`."""
        with self._lock:
            running, self._running = self._running, None
        self._first = None
        if running is not None:
            if not running.stop():
                _log.warning("pipeline does not stop camera=%s", self._camera)
            self._next_id = running.next_id

    def _take(self, running: Pipeline, patience: float) -> tuple[int, Any] | None:
        """Wait for a picture as long as `patience` stall timeouts."""
        limit_s = patience * self._stall_timeout_s
        taken = running.take(limit_s)
        if taken is None and not running.has_ended:
            if patience == _OPEN_PATIENCE:
                raise CameraTimeout(f"expected a picture within {limit_s:g} s, got none")
            raise CameraTimeout(f"no picture for {limit_s:g} s; check the camera")
        return taken

    def _frame(self, frame_id: int, sample: Any) -> Frame:
        try:
            pixels = read_pixels(sample)
        except ValueError as error:
            return frame_now(self._camera, frame_id, None, fault=str(error))
        return frame_now(self._camera, frame_id, pixels)

    def _unavailable(self, what: str) -> CameraUnavailable:
        return CameraUnavailable(f"{self._camera}: {self._shown}: {what}")
