"""A camera that a search has found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge.cameras.genicam.genapi_features import GenApiFeatures
from edge.errors import CameraError


@dataclass(frozen=True, slots=True)
class FoundCamera:
    """What to know of a camera before it is used.

    Attributes:
        address: to be pasted into `camera.source`; empty when there is no way to open it.
        name: vendor, model, serial number and user name, as far as it says.
        formats: lines with pixel formats, sizes and rates.
        problem: why it cannot be used now; None when it can.
    """

    address: str
    name: str
    formats: tuple[str, ...] = ()
    problem: str | None = None


def title(parts: Iterable[str]) -> str:
    """Join what a camera says of itself, leaving out what it does not say or says twice."""
    found: list[str] = []
    for part in parts:
        if part and part not in found:
            found.append(part)
    return " ".join(found)


def feature_formats(access: GenApiFeatures) -> tuple[str, ...]:
    """Return pixel formats, and size and greatest rate of the camera as it is set now."""
    try:
        formats = access.find("PixelFormat")
        rate = access.find("AcquisitionFrameRate")
    except CameraError:
        return ()
    width, height = access.number("Width"), access.number("Height")
    size = f"{width:g}x{height:g}" if width and height else ""
    most = f"up to {rate.maximum:g} fps" if rate is not None else ""
    now = " ".join(filter(None, (size, most)))
    words = ", ".join(formats.entries) if formats is not None else ""
    return tuple(filter(None, (words, now)))
