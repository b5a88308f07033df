"""The audit log: a line of JSON per change that a command made, with the hash of the line before.

An altered or removed line breaks the chain and is reported at the next start.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from edge.errors import PublishError

log = logging.getLogger(__name__)
MAX_BYTES = 2**20
Entry = dict[str, Any]


class AuditLog:
    """Appends to `path`; beyond 1 MiB the file becomes `<path>.1`, and the chain goes on.

    Used by one thread at a time.

    Raises:
        PublishError: the file is there and cannot be read.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            lines = path.read_bytes().splitlines() if path.exists() else []
        except OSError as error:
            raise PublishError(f"audit log {path}: cannot be read: {error.strerror}") from error
        broken = broken_line(lines)
        if broken is not None:
            log.error("audit log was altered or damaged path=%s line=%d", path, broken)
        self._last = _digest(lines[-1]) if lines else ""
        self._lines = lines

    def entries(self) -> Iterator[Entry]:
        """Return what the file held when it was opened, oldest first, without damaged lines."""
        for line in self._lines:
            with suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict):
                    yield entry

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append an entry; it is on the disk when this returns.

        Raises:
            OSError: nothing, or half a line, was written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size > MAX_BYTES:
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        line = json.dumps({**entry, "prev": self._last}).encode()
        with self.path.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # half a line, of a full disk or a power cut
                    file.write(b"\n")
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._last = _digest(line)


def broken_line(lines: list[bytes]) -> int | None:
    """Return the number (from 1) of the first line that does not hold the hash of the one before.

    The first line is taken as it is: the one before may be in the file that was put away.
    """
    for number, (before, line) in enumerate(pairwise(lines), 2):
        try:
            is_linked = json.loads(line)["prev"] == _digest(before)
        except (ValueError, LookupError, TypeError):
            is_linked = False
        if not is_linked:
            return number
    return None


def audit_path(folder: Path, node: str, station: str) -> Path:
    """Return where a station's audit log lies below the state folder."""
    return folder / f"{node}.{station}.audit.jsonl"


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
