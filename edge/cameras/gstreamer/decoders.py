"""Which GStreamer elements decode a stream on which platform: in hardware where there is some."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

Codec = Literal["h264", "h265", "jpeg"]
Platform = Literal["jetpack5", "jetpack6", "jetpack7", "nvidia", "vaapi", "cpu"]

_L4T_RELEASE = Path("/etc/nv_tegra_release")
# Major release of Linux for Tegra -> JetPack.
_JETPACKS: dict[int, Platform] = {35: "jetpack5", 36: "jetpack6", 38: "jetpack7"}
_NEWEST_JETPACK: Platform = "jetpack7"
# Out of the memory of the video engine, into ordinary memory.
_FROM_NVMM = "nvvidconv ! video/x-raw,format=BGRx"
_JETPACK_JPEG = f"nvv4l2decoder mjpeg=1 ! {_FROM_NVMM}"
# Without its flag the decoder of JetPack 5 and 6 saves power and lags behind.
_FAST = f"nvv4l2decoder enable-max-performance=1 ! {_FROM_NVMM}"
# JetPack 7 has no such flag any more: a pipeline that names it does not start.
_PLAIN = f"nvv4l2decoder ! {_FROM_NVMM}"

_DECODERS: dict[Platform, dict[Codec, tuple[str, ...]]] = {
    "jetpack5": {"h264": (_FAST,), "h265": (_FAST,), "jpeg": (_JETPACK_JPEG,)},
    "jetpack6": {"h264": (_FAST,), "h265": (_FAST,), "jpeg": (_JETPACK_JPEG,)},
    "jetpack7": {"h264": (_PLAIN,), "h265": (_PLAIN,), "jpeg": (_JETPACK_JPEG,)},
    "nvidia": {"h264": ("nvh264dec",), "h265": ("nvh265dec",), "jpeg": ("nvjpegdec", "jpegdec")},
    "vaapi": {"h264": ("vah264dec",), "h265": ("vah265dec",), "jpeg": ("vajpegdec", "jpegdec")},
    "cpu": {
        "h264": ("avdec_h264", "openh264dec"),
        "h265": ("avdec_h265", "libde265dec"),
        "jpeg": ("jpegdec", "avdec_mjpeg"),
    },
}
_UNPACKED: dict[Codec, str] = {
    "h264": "rtph264depay ! h264parse",
    "h265": "rtph265depay ! h265parse",
    "jpeg": "rtpjpegdepay",
}


def decoder(platform: Platform, codec: Codec, is_installed: Callable[[str], bool]) -> str:
    """Return the elements that turn a parsed stream into raw video in ordinary memory.

    Of several that would do the first one that `is_installed`; without any, the first, so that the
    error names what to install.
    """
    choices = _DECODERS[platform][codec]
    return next((each for each in choices if is_installed(each.split()[0])), choices[0])


def unpacked(codec: Codec) -> str:
    """Return the elements that turn RTP packets into what a decoder takes."""
    return _UNPACKED[codec]


def find_platform(is_installed: Callable[[str], bool]) -> Platform:
    """Tell what decodes on this machine: a Jetson's engine, a graphics card's, or the CPU."""
    jetpack = find_jetpack()
    if jetpack is not None:
        return jetpack
    if is_installed("nvh264dec"):
        return "nvidia"
    return "vaapi" if is_installed("vah264dec") else "cpu"


def find_jetpack() -> Platform | None:
    """Return the JetPack of this Jetson, None on other machines."""
    try:
        return jetpack_of(_L4T_RELEASE.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None


def jetpack_of(release: str) -> Platform | None:
    """Return the JetPack by the text of /etc/nv_tegra_release; a newer one counts as the newest.

    >>> jetpack_of("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic")
    'jetpack6'
    """
    match = re.search(r"# R(\d{1,3}) \(release\)", release)
    if match is None:
        return None
    major = int(match[1])
    if major in _JETPACKS:
        return _JETPACKS[major]
    return _NEWEST_JETPACK if major > min(_JETPACKS) else "jetpack5"
