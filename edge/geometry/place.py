"""The place file: what belongs to a camera's place, not to the product and its bundle."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, model_validator

from edge.config.reader import Settings, read_settings
from edge.errors import ConfigError
from edge.geometry.lens import Lens
from edge.geometry.points import Points, as_points
from edge.geometry.rectification import Rectification
from edge.geometry.scale import Scale

DIGITS = 12


class PlaceSections(Settings):
    """The sections of a place file, each as `edge-calibrate` writes it; they may not fit together.

    Attributes:
        lens: undoes the lens; applied first.
        rectification: sees the plane of the parts from above; applied second.
        scale: of the view that results.
    """

    lens: Lens | None = None
    rectification: Rectification | None = None
    scale: Scale | None = None

    @property
    def through(self) -> str:
        """Twelve digits of lens and rectification: what a scale was measured through."""
        return digits_of(self.lens, self.rectification)

    def problems(self) -> list[str]:
        """Say which sections were measured through another lens or rectification."""
        found = []
        if self.rectification is not None and self.rectification.measured_through not in (
            None,
            digits_of(self.lens),
        ):
            found.append(
                "rectification was measured with another lens: run edge-calibrate rectify again"
            )
        if self.scale is not None and self.scale.measured_through not in (None, self.through):
            found.append(
                "scale was measured with another lens or rectification: run edge-calibrate scale "
                "again"
            )
        return found


class Place(PlaceSections):
    """A place file whose sections fit together."""

    @model_validator(mode="after")
    def _fit_together(self) -> Place:
        if problems := self.problems():
            raise ValueError("; ".join(problems))
        return self

    @property
    def mm_per_px(self) -> float | None:
        """Scale of the view; None where nobody measured it."""
        return None if self.scale is None else self.scale.mm_per_px

    @property
    def moves(self) -> bool:
        """Whether the view is another picture than the frame."""
        return bool(self._steps())

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Undistort and rectify a frame, (H, W) or (H, W, 3) uint8.

        Raises:
            FrameUnfit: the frame has another size than the place was measured with.
        """
        for step in self._steps():
            image = step.apply(image)
        return image

    def to_frame(self, points: ArrayLike) -> Points:
        """Move points of the view, (n, 2), to the frame."""
        found = as_points(points)
        for step in reversed(self._steps()):
            found = step.to_frame(found)
        return found

    def from_frame(self, points: ArrayLike) -> Points:
        """Move points of the frame, (n, 2), to the view."""
        found = as_points(points)
        for step in self._steps():
            found = step.from_frame(found)
        return found

    def _steps(self) -> list[Lens | Rectification]:
        return [step for step in (self.lens, self.rectification) if step is not None]


@dataclass(frozen=True, slots=True)
class PlaceFile:
    """A place with the SHA-256 of its file, hexadecimal; None where there is no file."""

    place: Place = field(default_factory=Place)
    sha256: str | None = None

    def as_dict(self) -> dict[str, object] | None:
        """Describe the place in payloads; None where there is no file."""
        if self.sha256 is None:
            return None
        scale = self.place.scale
        return {
            "sha256": self.sha256,
            "has_lens": self.place.lens is not None,
            "has_rectification": self.place.rectification is not None,
            "mm_per_px": None if scale is None else scale.mm_per_px,
            "uncertainty_mm_per_px": None if scale is None else scale.uncertainty_mm_per_px,
            "method": None if scale is None else scale.method,
            "measured_on": str(scale.measured_on) if scale and scale.measured_on else None,
        }


def read_place(path: Path) -> PlaceFile:
    """Read and check a place file.

    Raises:
        ConfigError: listing every problem of the file.
    """
    place = read_settings(path, Place)
    try:
        return PlaceFile(place, hashlib.sha256(path.read_bytes()).hexdigest())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error


def digits_of(*documents: BaseModel | None) -> str:
    """Return twelve hexadecimal digits that change whenever one of the documents does."""
    text = "\n".join("" if each is None else each.model_dump_json() for each in documents)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
