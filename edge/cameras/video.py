"""`file://` for videos: every frame in order, and a fault where the recording breaks off."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.cameras.address import Address
from edge.cameras.listing import shown_name
from edge.cameras.opencv import VideoHandle, is_unicode
from edge.cameras.pace import Pace, Playback
from edge.cameras.source import frame_now
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable
from edge.frame import Frame, Part

_SUFFIXES = frozenset(
    {".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv"}
)
# Containers without an index estimate their number of frames and are off by a few when healthy.
_SLACK_FRAMES, _SLACK_SHARE = 2, 0.02


def is_video(place: str) -> bool:
    """Tell by the suffix, without I/O."""
    return Path(unquote(place)).suffix.lower() in _SUFFIXES


class VideoSource:
    """The frames of one video file.

    A recording counts as cut short when it ends early by both witnesses, the number of frames and
    the clock, by more than 2 frames and more than 2 %. The last picture before the break is then
    withheld, since it may be half a picture, and a frame with a fault takes its place.
    """

    def __init__(self, camera: str, path: Path, playback: Playback):
        self._camera = camera
        self._path = path
        self._playback = playback
        self._pace = Pace()
        self._handle = VideoHandle()
        self._next: NDArray[np.uint8] | None = None
        self._next_at_s = 0.0
        self._shown_at_s = 0.0
        self._begins_at_s = 0.0
        self._expected = 0
        self._fps = 0.0
        self._position = 0
        self._frame_id = 0

    @classmethod
    def from_address(cls, address: Address, settings: CameraSettings) -> VideoSource:
        """Read the keys `fps`, `loop` and `timing`."""
        address.query.only("fps", "loop", "timing")
        path = Path(unquote(address.place, errors="surrogateescape")).expanduser()
        return cls(settings.name, path, Playback.from_query(address.query))

    def open(self) -> None:
        """Open at the first frame."""
        self._pace.restart()
        if not self._path.is_file():
            found = "a folder" if self._path.is_dir() else "no such file"
            raise self._unavailable(f"expected a video file, found {found}; check the path")
        if not is_unicode(str(self._path)):
            raise self._unavailable("expected a path in UTF-8, found other bytes; rename it")
        self._rewind()

    def read(self) -> Frame | None:
        """Return the next frame, or None at the end."""
        if self._next is None and self._playback.loop and not self._pace.is_stopped:
            self._rewind()
        pixels, at_s = self._next, self._next_at_s
        if pixels is None and not self._pace.is_stopped:
            return None
        self._pull()
        if not self._pace.wait(self._playback.period_s(at_s - self._shown_at_s)):
            raise self._unavailable("closed")
        self._shown_at_s = at_s
        fault = self._break() if self._next is None else None
        part = Part(f"{shown_name(self._path.name)}#{self._position:06d}", "file")
        self._position += 1
        self._frame_id += 1
        shown = None if fault else pixels
        return frame_now(self._camera, self._frame_id - 1, shown, fault=fault, part=part)

    def close(self) -> None:
        """Close the file and end a wait for the next due time."""
        self._pace.stop()
        self._handle.close()

    def _rewind(self) -> None:
        if not self._handle.open(str(self._path), cv2.CAP_FFMPEG):
            raise self._unavailable(
                "expected a video, found nothing that FFmpeg can open; the file may be cut short "
                "(an MP4 has its index at the end) or OpenCV built without FFmpeg"
            )
        # As with pictures: pixels as stored, whatever way up the recording device was held.
        self._handle.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        self._expected = int(self._handle.get(cv2.CAP_PROP_FRAME_COUNT))
        self._fps = self._handle.get(cv2.CAP_PROP_FPS)
        self._position, self._next_at_s, self._begins_at_s = 0, 0.0, 0.0
        self._pull()
        # A piece cut out of a longer recording may keep that one's clock.
        self._begins_at_s, self._next_at_s, self._shown_at_s = self._next_at_s, 0.0, 0.0
        if self._next is None:
            raise self._unavailable("expected a video, found no frame that can be decoded")

    def _pull(self) -> None:
        """Read one frame ahead: only the end shows that the frame before it was the last."""
        self._next = self._handle.read()
        if self._next is not None:
            self._next_at_s = self._clock_s() - self._begins_at_s

    def _clock_s(self) -> float:
        return self._handle.get(cv2.CAP_PROP_POS_MSEC) / 1000

    def _break(self) -> str | None:
        """Return the fault of a recording that ended early, None for a regular end."""
        got, expected = self._position + 1, self._expected
        slack = max(_SLACK_FRAMES, _SLACK_SHARE * expected)
        late_by_count = expected - got > slack
        late_by_clock = expected - self._next_at_s * self._fps - 1 > slack
        if not (late_by_count and late_by_clock):
            return None
        return (
            f"{shown_name(self._path.name)}: recording breaks off: expected {expected} frames, got "
            f"{got - 1} whole ones; copy the file again"
        )

    def _unavailable(self, what: str) -> CameraUnavailable:
        return CameraUnavailable(f"{self._camera}: {shown_name(str(self._path))}: {what}")
