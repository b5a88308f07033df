"""Manifests of Amazon Lookout for Vision: JSON lines, one picture each, turned into labels.csv.

A line names a picture by `source-ref`, an address in S3, and its class in the metadata of a label
attribute, whatever that is called: `{"source-ref": "s3://bucket/train/1.png", "anomaly-label": 1,
"anomaly-label-metadata": {"class-name": "anomaly", ...}}`. Masks name types of defects by
`anomaly-mask-ref-metadata`; they are painted on white, which ours are not, and are not taken over.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from edge.atomic_file import write_text
from edge.data.left_out import in_short
from edge.data.picture_labels import LABELS
from edge.errors import DataError

SOURCE = "source-ref"
CLASSES = {"normal": "OK", "anomaly": "NOK"}
MASK_METADATA, BACKGROUND = "anomaly-mask-ref-metadata", "BACKGROUND"


class Labelled(NamedTuple):
    """A picture by its file name, `OK` or `NOK`, and its type of defect, "" where none is known."""

    file: str
    label: str
    type: str


def read_manifest(path: Path) -> list[Labelled]:
    """Read the labelled pictures of a manifest; those without a label are left out.

    Raises:
        DataError: the file cannot be read, a line is no such JSON, or two pictures have one name.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "expected UTF-8"
        raise DataError(f"{path}: cannot be read: {reason}") from error
    rows = [_row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    found = [row for row in rows if row is not None]
    if not found:
        raise DataError(f"{path}: expected lines with {SOURCE} and a label, found none")
    names = [row.file for row in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(
            f"{path}: expected each file name once, found several pictures named "
            f"{in_short(twice)}; give them different names"
        )
    return found


def write_labels(manifest: Path, folder: Path) -> Sequence[Labelled]:
    """Write labels.csv of a manifest beside its pictures in `folder`; returns its rows.

    Raises:
        DataError: as read_manifest; or labels.csv is there, or a picture is not.
    """
    rows = read_manifest(manifest)
    target = folder / LABELS
    if target.exists():
        raise DataError(f"{target}: exists; move it elsewhere")
    if missing := [row.file for row in rows if not (folder / row.file).is_file()]:
        raise DataError(
            f"{folder}: expected the {len(rows)} pictures of {manifest.name}, {len(missing)} are "
            f"missing: {in_short(missing)}; copy them from S3 into this folder"
        )
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(Labelled._fields)
    table.writerows(rows)
    write_text(target, text.getvalue())
    return rows


def _row(path: Path, number: int, line: str) -> Labelled | None:
    where = f"{path}: line {number}"
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    if not isinstance(entry, dict) or not isinstance(entry.get(SOURCE), str):
        raise DataError(f"{where}: expected one JSON object with {SOURCE}, as Lookout writes it")
    label = _label(entry)
    if label is None:
        return None
    if label not in CLASSES:
        raise DataError(f"{where}: expected class-name normal or anomaly, found {label}")
    types = _types(entry) if label == "anomaly" else []
    # A picture with several types belongs to none of their folders.
    return Labelled(
        PurePosixPath(entry[SOURCE]).name, CLASSES[label], types[0] if len(types) == 1 else ""
    )


def _label(entry: dict[str, Any]) -> str | None:
    """Class of a picture, lower case; None where it has none."""
    for key, about in entry.items():
        is_label = key.endswith("-metadata") and key != MASK_METADATA
        if is_label and isinstance(about, dict) and isinstance(about.get("class-name"), str):
            return str(about["class-name"]).lower()
    return None


def _types(entry: dict[str, Any]) -> list[str]:
    about = entry.get(MASK_METADATA)
    colours = about.get("internal-color-map") if isinstance(about, dict) else None
    entries = colours.values() if isinstance(colours, dict) else ()
    named = {each.get("class-name") for each in entries if isinstance(each, dict)}
    return sorted(name for name in named if isinstance(name, str) and name != BACKGROUND)
