"""Camera address -> closed source. A further kind of camera is one more line in `_MAKERS`."""

from __future__ import annotations

from collections.abc import Callable

from edge.cameras.address import Address
from edge.cameras.source import FrameSource
from edge.config.station import CameraSettings

_LATER = ("csi", "genicam", "aravis", "pylon", "replay")


def make_source(settings: CameraSettings) -> FrameSource:
    """Return the closed source that `settings.source` names.

    Raises:
        ConfigError: for an unknown scheme, an unknown key (naming the nearest) or a wrong value.
    """
    address = Address.parse(settings.source)
    source_of = _MAKERS.get(address.scheme)
    if source_of is not None:
        return source_of(address, settings)
    is_known = "not supported in this version" if address.scheme in _LATER else "unknown"
    raise address.query.problem(
        f"{address.scheme}:// is {is_known}; use one of "
        f"{', '.join(f'{scheme}://' for scheme in _MAKERS)}"
    )


# OpenCV is imported only when a source that needs it is made.
def _file(address: Address, settings: CameraSettings) -> FrameSource:
    from edge.cameras.pictures import PictureSource
    from edge.cameras.video import VideoSource, is_video

    if is_video(address.place):
        return VideoSource.from_address(address, settings)
    return PictureSource.from_address(address, settings)


def _v4l2(address: Address, settings: CameraSettings) -> FrameSource:
    from edge.cameras.v4l2 import V4l2Source

    return V4l2Source.from_address(address, settings)


def _rtsp(address: Address, settings: CameraSettings) -> FrameSource:
    from edge.cameras.rtsp import RtspSource

    return RtspSource.from_address(address, settings)


def _test(address: Address, settings: CameraSettings) -> FrameSource:
    from edge.cameras.simulator.conveyor import ConveyorSource

    return ConveyorSource.from_address(address, settings)


_MAKERS: dict[str, Callable[[Address, CameraSettings], FrameSource]] = {
    "file": _file,
    "v4l2": _v4l2,
    "rtsp": _rtsp,
    "test": _test,
}
