"""Camera address -> closed source. A further kind of camera is one more entry of `_KINDS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.cameras.address import Address
from edge.cameras.source import FrameSource
from edge.config.camera import CameraSettings


def make_source(settings: CameraSettings) -> FrameSource:
    """Return the closed source that `settings.source` names.

    Raises:
        ConfigError: for an unknown scheme, an unknown key (naming the nearest) or a wrong value.
    """
    address = Address.parse(settings.source)
    kind = _kind(address)
    if settings.features and not kind.has_features:
        schemes = ", ".join(f"{scheme}://" for scheme, kind in _KINDS.items() if kind.has_features)
        raise address.query.problem(
            f"camera.features: {address.scheme}:// has no features to set, only {schemes} have; "
            f"remove them"
        )
    try:
        return kind.make(address, settings)
    except (ValueError, RuntimeError) as error:
        # What the libraries of paths and network addresses refuse: NUL, [, an unknown user.
        raise address.query.problem(f"not an address: {' '.join(str(error).split())}") from None


def is_live(settings: CameraSettings) -> bool:
    """Tell by the address whether frames are lost unless somebody takes them.

    True for cameras and test with a rate; False for files, replays and test without a rate,
    whose frames wait.

    Raises:
        ConfigError: for an unknown scheme or a wrong rate.
    """
    address = Address.parse(settings.source)
    return _kind(address).is_live(address)


def is_replay(settings: CameraSettings) -> bool:
    """Tell by the address whether frames come from an archive of raw frames."""
    return Address.parse(settings.source).scheme == "replay"


@dataclass(frozen=True, slots=True)
class _Kind:
    """What there is to know about one scheme of addresses."""

    make: Callable[[Address, CameraSettings], FrameSource]
    is_live: Callable[[Address], bool]
    has_features: bool = False


def _kind(address: Address) -> _Kind:
    kind = _KINDS.get(address.scheme)
    if kind is None:
        schemes = ", ".join(f"{scheme}://" for scheme in _KINDS)
        raise address.query.problem(f"{address.scheme}:// is unknown; use one of {schemes}")
    return kind


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
    from edge.cameras.rtsp_address import RtspAddress

    place = RtspAddress.read(address)
    if place.decoder != "ffmpeg":
        from edge.cameras.gstreamer.rtsp import GstRtspSource

        return GstRtspSource(place, settings)
    from edge.cameras.rtsp import RtspSource

    return RtspSource(place, settings)


def _csi(address: Address, settings: CameraSettings) -> FrameSource:
    from edge.cameras.gstreamer.csi import CsiSource

    return CsiSource.from_address(address, settings)


def _gst(address: Address, settings: CameraSettings) -> FrameSource:
    from edge.cameras.gstreamer.named import make_named

    return make_named(address, settings)


def _genicam(address: Address, settings: CameraSettings) -> FrameSource:
    from edge.cameras.genicam.aravis import AravisSource

    return AravisSource.from_address(address, settings)


def _pylon(address: Address, settings: CameraSettings) -> FrameSource:
    from edge.cameras.genicam.pylon import PylonSource

    return PylonSource.from_address(address, settings)


def _gentl(address: Address, settings: CameraSettings) -> FrameSource:
    from edge.cameras.genicam.gentl import GentlSource

    return GentlSource.from_address(address, settings)


def _replay(address: Address, settings: CameraSettings) -> FrameSource:
    from edge.cameras.replay import ReplaySource

    return ReplaySource.from_address(address, settings)


def _test(address: Address, settings: CameraSettings) -> FrameSource:
    from edge.cameras.simulator.belt import BeltSource
    from edge.cameras.simulator.conveyor import ConveyorSource

    if address.place.strip("/") == "belt":
        return BeltSource.from_address(address, settings)
    return ConveyorSource.from_address(address, settings)


def _has_rate(address: Address) -> bool:
    return address.query.rate("fps") is not None


_KINDS = {
    "file": _Kind(_file, lambda _: False),
    "v4l2": _Kind(_v4l2, lambda _: True, has_features=True),
    "rtsp": _Kind(_rtsp, lambda _: True),
    "genicam": _Kind(_genicam, lambda _: True, has_features=True),
    "pylon": _Kind(_pylon, lambda _: True, has_features=True),
    "gentl": _Kind(_gentl, lambda _: True, has_features=True),
    "replay": _Kind(_replay, lambda _: False),
    "csi": _Kind(_csi, lambda _: True),
    "gst": _Kind(_gst, lambda _: True),
    "test": _Kind(_test, _has_rate),
}
