"""The record of an archived frame: what was said of it, and with which settings.

Written by edge/outputs/raw_archive.py; docs/archive.md lists the keys.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, Field, FiniteFloat, ValidationError

from edge.archive.layout import PICTURE, RECORD, with_suffix
from edge.frame import Part
from edge.picture_file import decode_picture, read_bytes
from edge.result import UNKNOWN_TYPE, Reason, Verdict

SCHEMA = "edge-infer.raw_frame/1"
# A result with very many regions takes some 100 kB.
MAX_BYTES = 8 * 2**20
_Text = Annotated[str, Field(max_length=1000)]


class _Part(BaseModel):
    id: _Text
    id_source: _Text
    label: _Text | None = None


class _Recipe(BaseModel):
    id: _Text
    version: _Text


class _Defect(BaseModel):
    type: _Text


class _Result(BaseModel):
    """What replay and export need of the payload of a result."""

    result: Verdict
    score: FiniteFloat | None
    part: _Part | None
    recipe: _Recipe
    defects: list[_Defect]
    is_simulated: bool
    msg_id: _Text | None = None
    reason: _Text | None = None


class _Picture(BaseModel):
    file: _Text
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Record(BaseModel):
    schema_: Literal["edge-infer.raw_frame/1"] = Field(alias="schema")
    picture: _Picture
    captured_at: AwareDatetime
    result: _Result


@dataclass(frozen=True, slots=True)
class ArchivedFrame:
    """A frame of the archive, with pixels on the disk.

    Attributes:
        path: the frame's files without their suffix.
        sha256: of the picture file.
        captured_at: when it was taken, UTC.
        verdict: what was said of it.
        score: image score, None without one.
        part: identity and, where it was known, truth.
        defect_type: of the most conspicuous defect; unknown without one.
        recipe: id and version.
        is_simulated: the picture was made up, not taken.
        is_tolerated: it passed with a defect, by the threshold of a harmless type.
        result_id: of the part's result, which its views share; None in archives from before it.
    """

    path: Path
    sha256: str
    captured_at: datetime
    verdict: Verdict
    score: float | None
    part: Part | None
    defect_type: str
    recipe: str
    is_simulated: bool
    is_tolerated: bool = False
    result_id: str | None = None

    def picture_bytes(self) -> bytes:
        """Read the picture file.

        Raises:
            ValueError: in one line: it is missing, or not the one that was archived.
        """
        data = read_bytes(with_suffix(self.path, PICTURE))
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise ValueError(f"the picture is not the one that was archived ({len(data)} bytes)")
        return data

    def pixels_bgr(self) -> NDArray[np.uint8]:
        """Read the pixels as they were taken, (H, W, 3) uint8 BGR.

        Raises:
            ValueError: in one line: the picture is missing or damaged.
        """
        return decode_picture(self.picture_bytes())


def read_frame(path: Path) -> ArchivedFrame:
    """Read the record of a frame; `path` is that of its files without their suffix.

    Raises:
        ValueError: in one line: the record is missing, damaged, or another frame's.
    """
    try:
        data = read_bytes(with_suffix(path, RECORD), MAX_BYTES)
        record = _Record.model_validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "as a whole"
        raise ValueError(f"its record is damaged: {where}: {first['msg']}") from None
    except ValueError as error:
        raise ValueError(f"its record: {error}") from None
    result = record.result
    if record.picture.file != path.name + PICTURE or result.result.value != path.parent.name:
        raise ValueError("its record is that of another frame")
    part = result.part
    return ArchivedFrame(
        path=path,
        sha256=record.picture.sha256,
        captured_at=record.captured_at,
        verdict=result.result,
        score=result.score,
        part=Part(part.id, part.id_source, part.label) if part else None,
        defect_type=result.defects[0].type if result.defects else UNKNOWN_TYPE,
        recipe=f"{result.recipe.id} {result.recipe.version}",
        is_simulated=result.is_simulated,
        is_tolerated=result.reason == Reason.WITHIN_TYPE_THRESHOLD.value,
        result_id=result.msg_id,
    )
