"""OpenCV's video capture made safe: quiet, and closable while another thread reads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.quiet_opencv import quiet_opencv


def _set_environment(ffmpeg_options: str) -> None:
    """Set the variables that OpenCV reads at open; it has no other way to hand options to FFmpeg.

    They are not taken back after the open, only replaced by the next one if that differs: changing
    the environment while other threads read it is not safe in C, so it happens seldom.
    """
    if "OPENCV_FFMPEG_DEBUG" not in os.environ:
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if os.environ.get("OPENCV_FFMPEG_CAPTURE_OPTIONS", "") != ffmpeg_options:
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = ffmpeg_options


def is_unicode(text: str) -> bool:
    """Tell whether OpenCV can take a name; it crashes on bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class VideoHandle:
    """A cv2.VideoCapture that `close` cannot pull away from under a running `read`.

    OpenCV crashes when one thread releases what another one reads. Here the lock holder releases:
    `close` when nobody reads, otherwise the reader as soon as the driver lets it go.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._capture: cv2.VideoCapture | None = None
        self._is_closed = True

    def open(
        self, target: str, backend: int, parameters: Sequence[int] = (), ffmpeg_options: str = ""
    ) -> bool:
        """Open `target`; False when the backend cannot, or when `close` came meanwhile.

        `parameters`: pairs of capture property and value. `ffmpeg_options`: `key;value|key;value`.
        """
        if not is_unicode(target):
            return False
        with self._held():
            _set_environment(ffmpeg_options)
            self._is_closed = False
            self._release()
            try:
                with quiet_opencv():
                    self._capture = cv2.VideoCapture(target, backend, list(parameters))
                    is_open = self._capture.isOpened()
            except cv2.error:
                is_open = False
            self._is_closed = self._is_closed or not is_open
        return not self._is_closed

    def read(self) -> NDArray[np.uint8] | None:
        """Return the next picture, (H, W, 3) uint8 BGR; None at the end, on loss, once closed."""
        with self._held():
            if self._capture is None or self._is_closed:
                return None
            try:
                with quiet_opencv():
                    is_read, pixels = self._capture.read()
            except cv2.error:
                return None
        return np.asarray(pixels, np.uint8) if is_read else None

    def get(self, key: int) -> float:
        """Return a capture property, 0 when closed."""
        with self._held():
            return float(self._capture.get(key)) if self._capture is not None else 0.0

    def set(self, key: int, value: float) -> None:
        """Ask for a capture property; read it back to know the answer."""
        with self._held():
            if self._capture is not None:
                self._capture.set(key, value)

    def close(self) -> None:
        """Release now, or let the running call release when it returns."""
        self._is_closed = True
        self._release_if_closed()

    @contextmanager
    def _held(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        finally:
            self._release_if_closed()

    def _release_if_closed(self) -> None:
        # Every lock holder comes through here after letting go, so nothing stays open.
        if self._is_closed and self._lock.acquire(blocking=False):
            try:
                self._release()
            finally:
                self._lock.release()

    def _release(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None
