"""Value types that the documents of a bundle share, with their ranges."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field

# The largest input that a network takes, pixels a side, and the most values of a tensor.
MAX_SIDE = 16_384
MAX_VALUES = 2**28
# Above the largest score of any detector; a threshold beyond it never fails a part.
MAX_SCORE = 1e6
# As a share of the threshold. Packing writes 0.001 for scores and 0.002 for maps.
MAX_TOLERANCE = 0.05
MAX_SCORES = 1_000_000


def _inside(value: str) -> str:
    path = PurePosixPath(value)
    is_plain = path.as_posix() == value and value.isprintable() and len(value) <= 240
    if path.is_absolute() or ".." in path.parts or not path.parts or not is_plain:
        raise ValueError("expected a relative path inside the bundle, such as golden/00_good.png")
    if "\\" in value or ":" in value:
        raise ValueError("expected a relative path inside the bundle, with / between its parts")
    return value


def _words(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("expected printable words")
    return value


def one_each(names: Iterable[str]) -> None:
    """Refuse names that some file system or reader takes for the same."""
    seen: dict[str, str] = {}
    for name in names:
        key = unicodedata.normalize("NFC", name).casefold().strip()
        if key in seen:
            raise ValueError(f"{name!r} and {seen[key]!r} are the same name")
        seen[key] = name


InsidePath = Annotated[str, AfterValidator(_inside)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ProductName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=100)]
Words = Annotated[str, AfterValidator(_words), Field(max_length=200)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Tiles = Annotated[int, Field(ge=1, le=64)]
Score = Annotated[float, Field(ge=-MAX_SCORE, le=MAX_SCORE, allow_inf_nan=False)]
