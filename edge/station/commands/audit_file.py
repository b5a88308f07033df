"""Files of the audit log: where they lie, how they are opened, and what a line is."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.atomic_file import replacing
from edge.private_file import open_private

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Anchor:
    """What is known of the log beside it.

    Attributes:
        count: number of the newest record; 0 before the first.
        head: SHA-256 of its line, hexadecimal; empty before the first.
        first: number of the oldest record that is kept.
    """

    count: int = 0
    head: str = ""
    first: int = 1


def audit_path(folder: Path, node: str, station: str) -> Path:
    """Return where a station's audit log lies below the state folder."""
    return folder / f"{node}.{station}.audit.jsonl"


def audit_logs(folder: Path) -> list[Path]:
    """Return where the audit logs of a state folder lie, also of one that is gone."""
    names = {path.name for path in folder.glob("*.audit.jsonl*")}
    anchors = (path.name for path in folder.glob("*.audit.head.json"))
    logs = {name.partition(".jsonl")[0] + ".jsonl" for name in names}
    return sorted(folder / name for name in logs | {_log_of(anchor) for anchor in anchors})


def _log_of(anchor: str) -> str:
    return anchor.removesuffix(".head.json") + ".jsonl"


def anchor_path(path: Path) -> Path:
    """Return where the anchor of the audit log at `path` is kept."""
    return path.with_name(f"{path.name.removesuffix('.jsonl')}.head.json")


def put_away(path: Path) -> list[Path]:
    """Return the older files of the audit log at `path`, oldest first."""
    names = (each for each in path.parent.glob(f"{path.name}.*") if each.suffix[1:].isdecimal())
    return sorted(names, key=lambda each: int(each.suffix[1:]))


def read_anchor(path: Path) -> Anchor | None:
    """Return the anchor of the audit log at `path`, None where there is none that can be read."""
    try:
        (line,) = read_lines(anchor_path(path))
        anchor = Anchor(**json.loads(line))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    is_sound = isinstance(anchor.head, str) and all(
        type(number) is int and number >= 0 for number in (anchor.count, anchor.first)
    )
    return anchor if is_sound else None


def write_anchor(path: Path, anchor: Anchor) -> None:
    """Keep the anchor of the audit log at `path`.

    Raises:
        WriteError: it cannot be written.
    """
    with (
        replacing(anchor_path(path)) as part,
        os.fdopen(open_private(part, os.O_WRONLY), "wb") as file,
    ):
        file.write(json.dumps(asdict(anchor)).encode() + b"\n")


def read_lines(path: Path) -> list[bytes]:
    """Return the lines of a file, none where there is no file.

    Raises:
        OSError: it cannot be read, or is a link or no regular file.
    """
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return []
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "expected a regular file", str(path))
        return file.read().splitlines()


def parse_record(line: bytes) -> Entry | None:
    """Return a record, None for a line that is none, such as the half line of a power cut."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("prev"), str) else None


def numbered(records: list[Entry], before: int = 0) -> list[int]:
    """Return the numbers of records; those of older versions have none and are counted."""
    numbers: list[int] = []
    for record in records:
        number = record.get("n")
        before = number if type(number) is int else before + 1
        numbers.append(before)
    return numbers


def digest(line: bytes) -> str:
    """Return the hash that the record after `line` holds."""
    return hashlib.sha256(line).hexdigest()
