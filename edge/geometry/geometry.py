"""The geometry of a recipe: which part of a frame is inspected, and how it is laid straight."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, model_validator

from edge.config.reader import Settings, read_settings
from edge.config.values import resolve_path
from edge.geometry.alignment import Alignment
from edge.geometry.lens import Lens
from edge.geometry.mask import IgnoreMask
from edge.geometry.place import PlaceSections, read_place
from edge.geometry.rectification import Rectification
from edge.geometry.region import Region
from edge.geometry.values import FrameSide

MAX_MASKS = 32
Level = Annotated[int, Field(ge=0, le=255)]


class Geometry(Settings):
    """Steps from the camera's frame to the view that is inspected, in the order of this list.

    Attributes:
        lens: undoes the lens.
        rectification: sees the plane of the parts from above.
        rotate: degrees, clockwise as seen.
        alignment: moves the part to where it was taught.
        size_wh: size of the view at this point, where region and masks are drawn; None takes any.
        region: what is inspected; the view is cropped to it, and a polygon hides what is outside.
        ignore: what of it is not inspected.
        fill_bgr: colour of hidden pixels, the mean of good parts; training finds it.
    """

    lens: Lens | None = None
    rectification: Rectification | None = None
    rotate: Literal[0, 90, 180, 270] = 0
    alignment: Alignment | None = None
    size_wh: tuple[FrameSide, FrameSide] | None = None
    region: Region | None = None
    ignore: tuple[IgnoreMask, ...] = Field(default=(), max_length=MAX_MASKS)
    fill_bgr: tuple[Level, Level, Level] | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_place(cls, value: Any, info: ValidationInfo) -> Any:
        """Take lens and rectification from a place file that a geometry file names."""
        if not isinstance(value, dict) or "place" not in value:
            return value
        if not (info.context or {}).get("reads_files"):
            raise ValueError("place: expected in a geometry file only")
        if value.get("lens") is not None or value.get("rectification") is not None:
            raise ValueError("expected either place, or lens and rectification")
        found = read_place(resolve_path(Path(str(value["place"])), info)).place
        rest = {key: each for key, each in value.items() if key != "place"}
        return {**rest, "lens": found.lens, "rectification": found.rectification}

    @model_validator(mode="after")
    def _fits(self) -> Geometry:
        measured = PlaceSections(lens=self.lens, rectification=self.rectification)
        if problems := measured.problems():
            raise ValueError("; ".join(problems))
        if self.size_wh is not None and self.region is not None:
            self.region.box(self.size_wh)
        return self

    def as_dict(self) -> dict[str, object]:
        """Describe the geometry in payloads; of region and masks only what they reach."""
        return {
            "sha256": hashlib.sha256(self.model_dump_json().encode()).hexdigest(),
            "has_lens": self.lens is not None,
            "has_rectification": self.rectification is not None,
            "rotate": self.rotate,
            "has_alignment": self.alignment is not None,
            "size": list(self.size_wh) if self.size_wh else None,
            "region": self.region.as_dict() if self.region else None,
            "ignored": len(self.ignore),
        }

    @property
    def hides(self) -> bool:
        """Whether some pixels of the view are not inspected."""
        polygon = None if self.region is None else self.region.polygon_xy
        return bool(self.ignore) or polygon is not None

    @property
    def needs_size(self) -> bool:
        """Whether regions or masks are drawn in pixels, and so for views of one size."""
        drawn = (*self.ignore, *(() if self.region is None else (self.region,)))
        return any(each.unit == "px" for each in drawn)


def read_geometry(path: Path) -> Geometry:
    """Read and check a geometry file with the files that it names.

    Raises:
        ConfigError: listing every problem of the file.
    """
    return read_settings(path, Geometry, {"folder": path.resolve().parent, "reads_files": True})
