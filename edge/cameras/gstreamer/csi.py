"""`csi://N`: a camera at the ribbon connector of a Jetson, through its image processor (Argus)."""

from __future__ import annotations

from fractions import Fraction

from edge.cameras.address import Address
from edge.cameras.gstreamer.decoders import find_jetpack
from edge.cameras.gstreamer.source import PipelineSource
from edge.config.camera import CameraSettings

_ADVICE = "; check the ribbon cable, or restart nvargus-daemon, which holds the cameras"


def csi_pipeline(
    sensor: int,
    *,
    mode: int | None = None,
    size_wh: tuple[int, int] | None = None,
    fps: float | None = None,
) -> str:
    """Return the pipeline from the sensor to raw video in ordinary memory.

    Args:
        sensor: number of the camera.
        mode: of the sensor, as the driver numbers them; None: Argus picks one by size and rate.
        size_wh: width and height in pixels.
        fps: frames per second.
    """
    caps = "video/x-raw(memory:NVMM),format=NV12"
    if size_wh is not None:
        caps += f",width={size_wh[0]},height={size_wh[1]}"
    if fps is not None:
        rate = Fraction(fps).limit_denominator(1001)
        caps += f",framerate={rate.numerator}/{rate.denominator}"
    chosen = "" if mode is None else f" sensor-mode={mode}"
    return (
        f"nvarguscamerasrc sensor-id={sensor}{chosen} ! {caps} ! "
        "nvvidconv ! video/x-raw,format=BGRx"
    )


class CsiSource(PipelineSource):
    """A CSI camera of a Jetson; refused on other machines."""

    @classmethod
    def from_address(cls, address: Address, settings: CameraSettings) -> CsiSource:
        """Read the keys `mode`, `width`, `height` and `fps`."""
        query, place = address.query, address.place.rstrip("/")
        query.only("mode", "width", "height", "fps")
        if not (place.isascii() and place.isdecimal() and len(place) < 4):
            raise query.problem("expected the number of a camera, such as csi://0")
        width, height = query.whole("width", 1), query.whole("height", 1)
        if (width is None) != (height is None):
            raise query.problem("expected width and height together, got one of them")
        fps = query.rate("fps")
        if fps is not None:
            query.faster_than(fps, settings.stall_timeout_s)
        text = csi_pipeline(
            int(place),
            mode=query.whole("mode", 0),
            size_wh=(width, height) if width is not None and height is not None else None,
            fps=fps,
        )
        return cls(
            settings.name,
            address.shown,
            text,
            stall_timeout_s=settings.stall_timeout_s,
            advice=_ADVICE,
        )

    def open(self) -> None:
        """Start the camera and wait for its first picture."""
        if find_jetpack() is None:
            raise self._unavailable(
                "expected a Jetson, whose image processor drives CSI cameras, this machine is "
                "none; use v4l2:// for the cameras of this machine"
            )
        super().open()
