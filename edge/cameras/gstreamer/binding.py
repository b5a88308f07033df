"""GStreamer's Python binding, loaded when the first pipeline opens."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from edge.cameras.introspection import system_library
from edge.errors import CameraUnavailable

_PACKAGES_OF_BINDING = (
    "gir1.2-gstreamer-1.0, gstreamer1.0-plugins-base and gstreamer1.0-plugins-good"
)
# Where the elements come from that pipelines of cameras name most (Debian, Ubuntu, JetPack).
_PACKAGES = {
    "gstreamer1.0-plugins-base": (
        "appsink", "decodebin", "uridecodebin", "videoconvert", "videorate", "videoscale",
        "videotestsrc",
    ),
    "gstreamer1.0-plugins-good": (
        "deinterlace", "jpegdec", "multifilesrc", "pngdec", "rtpbin", "rtph264depay",
        "rtph265depay", "rtpjpegdepay", "rtspsrc", "udpsrc", "v4l2src", "videocrop", "videoflip",
    ),
    "gstreamer1.0-plugins-bad": (
        "bayer2rgb", "h264parse", "h265parse", "libde265dec", "nvh264dec", "nvh265dec",
        "nvjpegdec", "openh264dec", "srtsrc", "vah264dec", "vah265dec", "vajpegdec",
    ),
    "gstreamer1.0-libav": ("avdec_h264", "avdec_h265", "avdec_mjpeg"),
    "gstreamer1.0-plugins-ugly": ("x264enc",),
    "gstreamer1.0-aravis": ("aravissrc",),
    "nvidia-l4t-gstreamer (JetPack)": (
        "nvarguscamerasrc", "nvv4l2camerasrc", "nvv4l2decoder", "nvvidconv",
    ),
}  # fmt: skip
PACKAGE_OF = {element: package for package, names in _PACKAGES.items() for element in names}


@lru_cache(maxsize=1)
def load_gstreamer() -> Any:
    """Return the module `gi.repository.Gst`, initialised.

    Raises:
        CameraUnavailable: it is not installed, or does not start.
    """
    gst = system_library("Gst", "1.0", _PACKAGES_OF_BINDING)
    is_ready, _ = gst.init_check(None)
    if not is_ready:
        raise CameraUnavailable("GStreamer does not start; gst-inspect-1.0 says why")
    return gst


def is_installed(element: str) -> bool:
    """Tell whether GStreamer has an element of this name."""
    return load_gstreamer().ElementFactory.find(element) is not None


def missing_elements(names: Iterable[str]) -> str:
    """Say in a sentence which elements are missing, and which packages have those that are known.

    >>> missing_elements(["jpegdec"])
    'expected the element jpegdec, which is not installed; install gstreamer1.0-plugins-good'
    """
    missing = list(dict.fromkeys(names))
    packages = sorted({PACKAGE_OF[name] for name in missing if name in PACKAGE_OF})
    unknown = any(name not in PACKAGE_OF for name in missing)
    todo = [f"install {' and '.join(packages)}"] if packages else []
    if unknown:
        todo.append("gst-inspect-1.0 lists what is there")
    named = f"element {missing[0]}, which is" if len(missing) == 1 else ""
    named = named or f"elements {' and '.join(missing)}, which are"
    return f"expected the {named} not installed; {'; '.join(todo)}"
