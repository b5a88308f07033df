"""One sentence per region, in the station's language: type, place, size and confidence.

The words stand in findings/LANGUAGE.yaml. A type that a file has no word for keeps its own name.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Literal, get_args

from pydantic import Field, field_validator, model_validator

from edge.config.reader import Settings, read_settings
from edge.config.station import Language
from edge.result import UNKNOWN_TYPE, Region

FOLDER = Path(__file__).with_name("findings")
Place = Literal[
    "top_left", "top", "top_right",
    "left", "centre", "right",
    "bottom_left", "bottom", "bottom_right",
    "everywhere",
]  # fmt: skip
PLACES: tuple[Place, ...] = get_args(Place)
SLOTS = {
    "named": {"type", "place", "size", "confidence"},
    "unknown": {"place", "size"},
    "vetoed": {"finding", "confidence"},
    "size_mm": {"width", "height", "area"},
    "size_share": {"share"},
}


class Wording(Settings):
    """The words of one language.

    Attributes:
        decimal: mark between whole and broken part of a number.
        named: sentence for a region with a type; confidence is a whole percentage.
        unknown: sentence for a region without a convincing type.
        vetoed: what either becomes once the region is set aside as a false alarm; confidence is
            the probability of that, a whole percentage.
        size_mm: box and area where the scale is known; size_share: percentage of the picture else.
        places: of a region in the picture, one for each cell of a 3 x 3 grid and one for all of it.
        types: words for defect types, by their name in lower case with single spaces.
    """

    decimal: Literal[".", ","]
    named: str
    unknown: str
    vetoed: str
    size_mm: str
    size_share: str
    places: dict[Place, str]
    types: dict[str, str] = Field(default_factory=dict)

    @field_validator(*SLOTS)
    @classmethod
    def _slots(cls, template: str, info: object) -> str:
        name = str(getattr(info, "field_name", ""))
        found = {slot for _, slot, _, _ in Formatter().parse(template) if slot is not None}
        if found != SLOTS[name]:
            raise ValueError(f"expected the slots {sorted(SLOTS[name])}, found {sorted(found)}")
        return template

    @model_validator(mode="after")
    def _all_places(self) -> Wording:
        missing = sorted(set(PLACES) - set(self.places))
        if missing:
            raise ValueError(f"places: without {', '.join(missing)}")
        return self

    def finding(self, region: Region, size_wh: tuple[int, int], mm_per_px: float | None) -> str:
        """Describe a region of a picture of this size; lengths in mm only with a scale."""
        words = {
            "place": self.places[place_of(region.bbox_xywh, size_wh)],
            "size": self._size(region, size_wh, mm_per_px),
        }
        if region.type == UNKNOWN_TYPE or region.type_score is None:
            said = self.unknown.format(**words)
        else:
            confidence = _percent(region.type_score)
            said = self.named.format(type=self._type(region.type), confidence=confidence, **words)
        if region.vetoed:
            confidence = _percent(region.false_alarm or 0.0)
            said = self.vetoed.format(finding=said, confidence=confidence)
        return said[:1].upper() + said[1:]

    def _type(self, name: str) -> str:
        words = " ".join(name.replace("_", " ").replace("-", " ").split())
        return self.types.get(words.lower(), words)

    def _size(self, region: Region, size_wh: tuple[int, int], mm_per_px: float | None) -> str:
        if mm_per_px is None or region.area_mm2 is None:
            share = 100 * region.area_px / max(1, size_wh[0] * size_wh[1])
            return self.size_share.format(share=self._number(share))
        width, height = (value * mm_per_px for value in region.bbox_xywh[2:])
        return self.size_mm.format(
            width=self._number(width),
            height=self._number(height),
            area=self._number(region.area_mm2),
        )

    def _number(self, value: float) -> str:
        """Two digits that count, whole numbers from ten on."""
        digits = max(0, 1 - math.floor(math.log10(value))) if value > 0 else 0
        return f"{value:.{digits}f}".replace(".", self.decimal)


@cache
def wording(language: Language) -> Wording:
    """Read the words of a language, once."""
    return read_settings(FOLDER / f"{language}.yaml", Wording)


def place_of(bbox_xywh: tuple[int, int, int, int], size_wh: tuple[int, int]) -> Place:
    """Cell of a 3 x 3 grid that the box's centre lies in; `everywhere` for the whole picture."""
    x, y, w, h = bbox_xywh
    if w >= size_wh[0] and h >= size_wh[1]:
        return "everywhere"
    column, row = (
        min(2, int(3 * (start + length / 2) / max(1, side)))
        for start, length, side in ((x, w, size_wh[0]), (y, h, size_wh[1]))
    )
    return PLACES[3 * row + column]


def _percent(share: float) -> int:
    """A whole percentage; nothing short of certainty reads as 100."""
    return 100 if share >= 1 else min(99, round(100 * share))
