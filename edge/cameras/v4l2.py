"""`v4l2://`: a camera of this machine through Video4Linux."""

from __future__ import annotations

import logging
import stat
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

import cv2

from edge.cameras import v4l2_controls
from edge.cameras.address import Address
from edge.cameras.description import CameraDescription
from edge.cameras.opencv import VideoHandle
from edge.cameras.query import Query
from edge.cameras.source import frame_now
from edge.cameras.v4l2_device import V4l2Device
from edge.config.camera import CameraSettings, FeatureValue
from edge.errors import CameraTimeout, CameraUnavailable
from edge.frame import Frame

_log = logging.getLogger(__name__)

# Controls that an address may set; camera.features takes them and all others.
_CONTROLS = ("exposure", "gain", "white_balance", "focus")


class V4l2Source:
    """A USB or MIPI camera. What the address asks for is what runs, or the camera is refused."""

    def __init__(
        self,
        camera: str,
        device: Path,
        wanted: dict[int, float],
        controls: Mapping[str, FeatureValue] | None = None,
    ):
        """Make a closed source.

        Args:
            camera: its name in the station file.
            device: its device file.
            wanted: OpenCV capture property -> value, in the order in which they are set.
            controls: name -> value.
        """
        self._camera = camera
        self._device = device
        self._wanted = wanted
        self._controls = controls or {}
        self._description: CameraDescription | None = None
        self._handle = VideoHandle()
        self._frame_id = 0

    @classmethod
    def from_address(cls, address: Address, settings: CameraSettings) -> V4l2Source:
        """Read the keys `width`, `height`, `fps`, `fourcc` and the controls."""
        query, place = address.query, unquote(address.place)
        query.only("width", "height", "fps", "fourcc", *_CONTROLS)
        if place.isdecimal():
            _log.warning(
                "camera index is not stable camera=%s index=%s do=use_/dev/v4l/by-id/…",
                settings.name,
                place,
            )
            place = f"/dev/video{int(place)}"
        if not place.startswith("/"):
            raise query.problem("expected a device, such as v4l2:///dev/v4l/by-id/usb-…")
        wanted = _wanted(query, settings.stall_timeout_s)
        return cls(settings.name, Path(place), wanted, _controls(query, settings.features))

    @property
    def description(self) -> CameraDescription | None:
        """The camera as it was when last opened; None before, and for drivers that do not say."""
        return self._description

    @property
    def transport_counts(self) -> Mapping[str, int]:
        """Nothing: the kernel does not count what a camera of this kind loses."""
        return {}

    def open(self) -> None:
        """Open the device and check that it took the settings."""
        found = _not_a_device(self._device)
        if found:
            raise self._unavailable(f"expected a video device, found {found}; {_present()}")
        if not self._handle.open(str(self._device), cv2.CAP_V4L2):
            raise self._unavailable(
                "expected a camera, found a device that cannot be opened for capture; check that "
                "no other process has it and that this user is in the group video"
            )
        for key, value in self._wanted.items():
            self._handle.set(key, value)
        for key, value in self._wanted.items():
            self._compare(key, value, self._handle.get(key))
        self._set_controls()

    def read(self) -> Frame | None:
        """Return the next frame."""
        pixels = self._handle.read()
        if pixels is None:
            raise CameraTimeout(
                f"{self._camera}: {self._device}: expected a frame, got none; check the cable"
            )
        self._frame_id += 1
        return frame_now(self._camera, self._frame_id - 1, pixels)

    def close(self) -> None:
        """Release the device."""
        self._handle.close()

    def _set_controls(self) -> None:
        """Set the controls beside the stream, and note what the camera is."""
        try:
            with closing(V4l2Device(self._device)) as device:
                about = device.capability()
                got = v4l2_controls.apply(device, self._controls, self._camera)
        except OSError as error:
            self._description = None
            if self._controls:
                self._handle.close()
                raise self._unavailable(
                    f"expected a camera with controls, its driver says: {error.strerror}"
                ) from None
            return
        except CameraUnavailable:
            self._handle.close()
            raise
        self._description = CameraDescription(
            driver=f"V4L2 {about.driver}", model=about.card, features=got
        )

    def _compare(self, key: int, wanted: float, got: float) -> None:
        if got == wanted:
            return
        if key == cv2.CAP_PROP_FPS:
            # Drivers round the rate to what the sensor's clock can do; no picture changes by it.
            _log.warning("camera rate camera=%s wanted=%g got=%g", self._camera, wanted, got)
            return
        self._handle.close()
        name, shown = _PROPERTIES[key]
        raise self._unavailable(
            f"expected {name}={shown(wanted)}, the camera gives {shown(got)}; list what it can do "
            f"with edge-doctor cameras"
        )

    def _unavailable(self, what: str) -> CameraUnavailable:
        return CameraUnavailable(f"{self._camera}: {self._device}: {what}")


def _wanted(query: Query, stall_timeout_s: float) -> dict[int, float]:
    """Return the capture properties in the order V4L2 wants: format, size, rate."""
    wanted: dict[int, float] = {}
    fourcc = query.text("fourcc")
    if fourcc is not None:
        if len(fourcc) != 4 or not fourcc.isascii():
            raise query.problem(f"fourcc: expected four letters such as MJPG, got {fourcc}")
        wanted[cv2.CAP_PROP_FOURCC] = float(int.from_bytes(fourcc.encode(), "little"))
    width, height = query.whole("width", 1), query.whole("height", 1)
    if (width is None) != (height is None):
        raise query.problem("expected width and height together, got one of them")
    if width is not None and height is not None:
        wanted[cv2.CAP_PROP_FRAME_WIDTH] = width
        wanted[cv2.CAP_PROP_FRAME_HEIGHT] = height
    fps = query.rate("fps")
    if fps is not None:
        query.faster_than(fps, stall_timeout_s)
        wanted[cv2.CAP_PROP_FPS] = fps
    return wanted


def _controls(query: Query, features: Mapping[str, FeatureValue]) -> dict[str, FeatureValue]:
    """Return the controls of the address and of the station file."""
    found: dict[str, FeatureValue] = dict(features)
    for name in _CONTROLS:
        value = query.whole(name, 0)
        if value is not None and name in found:
            raise query.problem(f"{name}: also stands in camera.features; set it in one place")
        if value is not None:
            found[name] = value
    return found


def _fourcc(value: float) -> str:
    return int(value).to_bytes(4, "little", signed=value < 0).decode("latin-1")


_PROPERTIES = {
    cv2.CAP_PROP_FOURCC: ("fourcc", _fourcc),
    cv2.CAP_PROP_FRAME_WIDTH: ("width", "{:g}".format),
    cv2.CAP_PROP_FRAME_HEIGHT: ("height", "{:g}".format),
}


def _not_a_device(path: Path) -> str | None:
    """Say what `path` is when it is no character device. Asked first: OpenCV would only print."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None if stat.S_ISCHR(mode) else "a file of another kind"


def _present() -> str:
    by_id = Path("/dev/v4l/by-id")
    devices = sorted(by_id.iterdir()) if by_id.is_dir() else sorted(Path("/dev").glob("video*"))
    if not devices:
        return "no camera is connected; check the cable and the driver"
    return f"connected are {', '.join(map(str, devices))}"
