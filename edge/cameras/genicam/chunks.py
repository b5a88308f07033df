"""What a camera sends with each frame beside its pixels: exposure time and levels of its lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edge.config.camera import FeatureValue

if TYPE_CHECKING:
    from edge.cameras.genicam.genapi_features import GenApiFeatures

_NAMES = ("ExposureTime", "LineStatusAll")


def send(access: GenApiFeatures, wanted: Mapping[str, FeatureValue]) -> bool:
    """Have the camera send them as far as it can; False when it sends none."""
    selector = access.find("ChunkSelector")
    if selector is None or access.find("ChunkModeActive") is None:
        return False
    names = [name for name in _NAMES if name in selector.entries]
    if not names or wanted.get("ChunkModeActive") is False:
        return False
    access.write("ChunkModeActive", True)
    for name in names:
        access.write("ChunkSelector", name)
        access.write("ChunkEnable", True)
    return True


def read(access: GenApiFeatures) -> tuple[float | None, int | None]:
    """Return the exposure time of a frame in microseconds and the levels of the lines."""
    status = access.number("ChunkLineStatusAll")
    return access.number("ChunkExposureTime"), None if status is None else int(status)
