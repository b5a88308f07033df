"""Cameras at the ribbon connectors of a Jetson."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

from edge.cameras.search.found import FoundCamera
from edge.cameras.search.v4l2 import DEVICES, shown_formats
from edge.cameras.v4l2_device import V4l2Device
from edge.errors import CameraUnavailable

MODEL = Path("/proc/device-tree/model")
# The driver of NVIDIA's video input, which Argus stands on.
_DRIVERS = ("tegra-video", "tegra-camrtc-capture-vi", "vi")


def search() -> list[FoundCamera]:
    """Return every sensor; Argus numbers them as their devices come.

    Raises:
        CameraUnavailable: this is no Jetson.
    """
    if not MODEL.is_file() or "NVIDIA" not in MODEL.read_text(errors="replace"):
        raise CameraUnavailable("csi: this machine is no Jetson")
    found: list[FoundCamera] = []
    for path in sorted(DEVICES.glob("video*"), key=lambda each: (len(each.name), each.name)):
        with suppress(OSError), closing(V4l2Device(path)) as device:
            about = device.capability()
            if about.driver in _DRIVERS:
                formats = tuple(shown_formats(device.formats()))
                found.append(FoundCamera(f"csi://{len(found)}", about.card, formats))
    return found
