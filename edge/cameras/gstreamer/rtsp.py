"""`rtsp://…?decoder=gst`: a network camera, decoded by GStreamer, in hardware where it can."""

from __future__ import annotations

from collections.abc import Callable

from edge.cameras.gstreamer.binding import is_installed
from edge.cameras.gstreamer.decoders import Codec, Platform, decoder, find_platform, unpacked
from edge.cameras.gstreamer.pipeline import Properties
from edge.cameras.gstreamer.source import PipelineSource
from edge.cameras.rtsp_address import RtspAddress
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable, ConfigError

_SOURCE = "camera"
_CODECS: dict[str, Codec] = {"gst": "h264", "gst-h265": "h265", "gst-jpeg": "jpeg"}
_LATENCY_MS = 50
# GstRTSPLowerTrans
_TRANSPORTS = {"udp": 1, "tcp": 4}


def rtsp_pipeline(
    codec: Codec, platform: Platform, is_there: Callable[[str], bool] = is_installed
) -> str:
    """Return the pipeline from the network to raw video; the address is set as a property."""
    return (
        f"rtspsrc name={_SOURCE} ! application/x-rtp,media=video ! {unpacked(codec)} ! "
        f"{decoder(platform, codec, is_there)}"
    )


class GstRtspSource(PipelineSource):
    """A network camera; losing it is an error at once, and the capture thread reopens."""

    def __init__(self, place: RtspAddress, settings: CameraSettings):
        self._place = place
        self._codec = _CODECS[place.decoder]
        others = " or ".join(f"decoder={key}" for key in _CODECS if key != place.decoder)
        super().__init__(
            settings.name,
            f"rtsp://{place.netloc}",
            "",
            stall_timeout_s=settings.stall_timeout_s,
            advice=(
                f"; check path, credentials and transport, and that the camera sends "
                f"{self._codec.upper()} (else {others})"
            ),
            properties=self._source_properties,
        )

    def open(self) -> None:
        """Connect and wait for the first picture."""
        try:
            self._place.check_reachable(self._stall_timeout_s / 2)
            self._text = rtsp_pipeline(self._codec, find_platform(is_installed))
        except CameraUnavailable as error:
            raise self._unavailable(str(error)) from error
        super().open()

    def _source_properties(self) -> Properties:
        """What is set on the source: not part of the text, which messages may quote."""
        place = self._place
        try:
            user, password = place.login.read()
        except ConfigError as error:
            raise CameraUnavailable(str(error)) from error
        return {
            _SOURCE: {
                "location": f"rtsp://{place.netloc}{place.path}",
                "protocols": _TRANSPORTS[place.transport],
                "latency": _LATENCY_MS if place.latency_ms is None else place.latency_ms,
                "drop-on-latency": True,
                "user-id": user,
                "user-pw": password,
            }
        }
