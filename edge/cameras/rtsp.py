"""`rtsp://`: a network camera, decoded by OpenCV's FFmpeg."""

from __future__ import annotations

import cv2

from edge.cameras.opencv import VideoHandle
from edge.cameras.rtsp_address import RtspAddress
from edge.cameras.source import frame_now
from edge.config.camera import CameraSettings
from edge.errors import CameraTimeout, CameraUnavailable, ConfigError
from edge.frame import Frame

# The stream starts with a full picture, which a camera may send only every few seconds.
_OPEN_PATIENCE = 2
# FFmpeg's own timeout comes before the supervisor's: it gives the connection back, while a thread
# that has to be abandoned keeps it.
_READ_PATIENCE = 0.8


class RtspSource:
    """A network camera. Losing it is an error at once; the capture thread reopens."""

    def __init__(self, place: RtspAddress, settings: CameraSettings):
        self._camera = settings.name
        self._place = place
        self._stall_timeout_s = settings.stall_timeout_s
        self._handle = VideoHandle()
        self._frame_id = 0

    def open(self) -> None:
        """Connect and wait for the stream."""
        try:
            userinfo = self._place.login.userinfo()
            self._place.check_reachable(self._stall_timeout_s / 2)
        except (CameraUnavailable, ConfigError) as error:
            raise self._unavailable(str(error)) from error
        open_s = _OPEN_PATIENCE * self._stall_timeout_s
        timeouts_ms = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(open_s * 1000)),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(_READ_PATIENCE * self._stall_timeout_s * 1000)),
        ]
        url = f"rtsp://{userinfo}{self._place.netloc}{self._place.path}"
        if not self._handle.open(url, cv2.CAP_FFMPEG, timeouts_ms, _ffmpeg_options(self._place)):
            raise self._unavailable(
                f"expected a video stream within {open_s:g} s, got none; check the path, the "
                f"credentials and the transport"
            )

    def read(self) -> Frame | None:
        """Return the next frame."""
        pixels = self._handle.read()
        if pixels is None:
            raise CameraTimeout(
                f"{self._camera}: rtsp://{self._place.netloc}: the stream ended or was silent for "
                f"{_READ_PATIENCE * self._stall_timeout_s:g} s; check the camera and the network"
            )
        self._frame_id += 1
        return frame_now(self._camera, self._frame_id - 1, pixels)

    def close(self) -> None:
        """Disconnect."""
        self._handle.close()

    def _unavailable(self, what: str) -> CameraUnavailable:
        return CameraUnavailable(f"{self._camera}: rtsp://{self._place.netloc}: {what}")


def _ffmpeg_options(place: RtspAddress) -> str:
    options = {
        "rtsp_transport": place.transport,
        "allowed_media_types": "video",
        # Smallest buffer: a frame that waits in FFmpeg is an old frame.
        "fflags": "nobuffer",
    }
    if place.latency_ms is not None:
        options["max_delay"] = str(place.latency_ms * 1000)
    return "|".join(f"{key};{value}" for key, value in options.items())
