"""What a camera is and how it is set, for records of where pictures came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

from edge.config.camera import FeatureValue


@dataclass(frozen=True, slots=True)
class CameraDescription:
    """An open camera; empty text where it does not say.

    Attributes:
        driver: library and version that reads it.
        vendor, model, serial, firmware: of the camera.
        user_name: the name that somebody has written into the camera.
        pixel_format: as the camera sends pixels, such as BayerRG8.
        conversion: what is done to get BGR with 8 bits, in one line.
        demosaicing: how colours are made of a Bayer pattern; None where there is none.
        features: name -> value as read back from the camera.
    """

    driver: str
    vendor: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    user_name: str = ""
    pixel_format: str = ""
    conversion: str = ""
    demosaicing: str | None = None
    features: Mapping[str, FeatureValue] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it as it stands in payloads and records."""
        return asdict(self)


@runtime_checkable
class DescribedSource(Protocol):
    """A frame source that can say which camera it has, and how its transport does."""

    @property
    def description(self) -> CameraDescription | None:
        """The camera as it was when last opened; None before."""

    @property
    def transport_counts(self) -> Mapping[str, int]:
        """Counts since the source was made, such as incomplete_frames and missing_packets."""
