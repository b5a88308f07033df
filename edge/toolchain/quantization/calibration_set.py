"""The frozen set of pictures that INT8 ranges are measured on: folder, manifest, hashes.

Pictures are kept as the camera gave them, without loss: one set serves every network size.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from edge.bundle.store import sha256
from edge.bundle.values import InsidePath, Sha256
from edge.config.reader import Settings
from edge.data.frames import InputShape, network_inputs
from edge.errors import DataError
from edge.geometry.geometry import Geometry
from edge.geometry.view_transform import ViewTransform
from edge.picture_file import encode_picture, read_picture

SCHEMA: Final = "edge-infer.calibration-set/1"
MANIFEST = "calibration-set.json"
PICTURES = "pictures"


class CalibrationPicture(Settings):
    """One picture; `origin` is what its source calls it."""

    file: InsidePath
    sha256: Sha256
    origin: str


class CalibrationManifest(Settings):
    """calibration-set.json: where the pictures come from, how many, and the hash of each."""

    schema_: Literal["edge-infer.calibration-set/1"] = Field(alias="schema")
    created_at: str
    origin: str
    count: int
    pictures: tuple[CalibrationPicture, ...]

    @model_validator(mode="after")
    def _is_whole(self) -> CalibrationManifest:
        if self.count != len(self.pictures):
            raise ValueError(f"expected {self.count} pictures, found {len(self.pictures)}")
        return self


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """A verified set. `id` is the SHA-256 of its manifest, which holds every picture's."""

    folder: Path
    id: str
    manifest: CalibrationManifest

    def frames(self, shape: InputShape, geometry: Geometry | None = None) -> NDArray[np.uint8]:
        """Network inputs of all pictures, (n, H, W, 3) uint8 RGB; n counts tiles.

        Raises:
            DataError: a picture is unreadable, or the geometry does not fit it.
        """
        inputs = []
        transform = ViewTransform(geometry)
        for picture in self.manifest.pictures:
            try:
                pixels = transform.view(read_picture(self.folder / picture.file)).pixels_bgr
            except ValueError as error:
                raise _problem(self.folder, f"{picture.file}: {error}") from error
            inputs.append(network_inputs(pixels, shape))
        return np.concatenate(inputs)


def freeze_calibration_set(
    folder: Path, pictures: Iterable[tuple[NDArray[np.uint8], str]], origin: str
) -> CalibrationSet:
    """Write (pixels, origin) pairs, (H, W, 3) uint8 BGR each, as a new set at `folder`.

    The folder appears only when the set is complete.

    Raises:
        DataError: `folder` exists, or there are no pictures.
    """
    if folder.exists():
        raise DataError(f"{folder}: exists; a calibration set is never changed, choose another")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        new = Path(scratch) / "set"
        (new / PICTURES).mkdir(parents=True)
        entries = []
        for number, (pixels, source) in enumerate(pictures):
            file, data = f"{PICTURES}/{number:04d}.png", encode_picture(pixels)
            (new / file).write_bytes(data)
            digest = hashlib.sha256(data).hexdigest()
            entries.append(CalibrationPicture(file=file, sha256=digest, origin=source))
        if not entries:
            raise DataError(f"{folder}: expected pictures from {origin}, got none")
        manifest = CalibrationManifest(
            schema=SCHEMA,
            created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            origin=origin,
            count=len(entries),
            pictures=tuple(entries),
        )
        text = manifest.model_dump_json(indent=2, by_alias=True) + "\n"
        (new / MANIFEST).write_text(text, encoding="utf-8")
        shutil.move(new, folder)
    return read_calibration_set(folder)


def read_calibration_set(folder: Path, expected_id: str | None = None) -> CalibrationSet:
    """Read a set and verify every picture.

    Args:
        folder: of the set.
        expected_id: of the very set that is meant; None takes any whole one.

    Raises:
        DataError: the folder is no set, another set, or a picture is missing, added or altered.
    """
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
        manifest = CalibrationManifest.model_validate(json.loads(data))
    except OSError as error:
        raise _problem(folder, f"{MANIFEST} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _problem(folder, f"{MANIFEST}: {where}: {first['msg']}") from None
    except ValueError as error:
        raise _problem(folder, f"{MANIFEST} is not JSON") from error
    found_id = hashlib.sha256(data).hexdigest()
    if expected_id is not None and found_id != expected_id:
        raise _problem(folder, f"expected the set {expected_id[:12]}, found {found_id[:12]}")
    _verify(folder, manifest)
    return CalibrationSet(folder, found_id, manifest)


def _verify(folder: Path, manifest: CalibrationManifest) -> None:
    listed = {picture.file for picture in manifest.pictures}
    present = {f"{PICTURES}/{path.name}" for path in (folder / PICTURES).glob("*")}
    if listed != present:
        what = "is missing" if listed - present else "was added"
        raise _problem(folder, f"{min(listed ^ present)} {what}")
    for picture in manifest.pictures:
        found = sha256(folder / picture.file)
        if found != picture.sha256:
            raise _problem(
                folder,
                f"{picture.file} was altered (expected sha256 {picture.sha256[:12]}…, found "
                f"{found[:12]}…)",
            )


def _problem(folder: Path, what: str) -> DataError:
    return DataError(f"calibration set {folder}: {what}; collect it again")
