"""The audit log: a line of JSON per change that a command made, with the hash of the line before.

Each record also has a number. Number and hash of the newest one, the anchor, are kept in a second
file and published in the state, so that a cut end is noticed as well as an altered line.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge.errors import PublishError, WriteError
from edge.private_file import open_private
from edge.station.commands.audit_check import audit_problems
from edge.station.commands.audit_file import (
    Anchor,
    Entry,
    digest,
    numbered,
    parse_record,
    put_away,
    read_anchor,
    read_lines,
    write_anchor,
)

log = logging.getLogger(__name__)
MAX_BYTES = 2**20
MAX_FILES = 256
YEAR_S = 365 * 86400.0


class AuditLog:
    """Appends to `path`. A file of 1 MiB is put away as `<path>.<number of its last record>`.

    Files that were put away are removed after `keep_s`, or beyond 256 of them. Used by one thread
    at a time; `anchor` may be read by any.

    Attributes:
        anchor: number and hash of the newest record.
        problems: what was found when it was opened: records that are missing or were altered.

    Raises:
        PublishError: the file is there and cannot be read, or is no regular file.
    """

    def __init__(self, path: Path, keep_s: float = YEAR_S):
        self.path = path
        self._keep_s = keep_s
        try:
            lines = read_lines(path)
            self.problems = audit_problems(path, newest_only=True)
        except OSError as error:
            raise PublishError(f"audit log {path}: cannot be read: {error.strerror}") from error
        for problem in self.problems:
            log.error("audit log was altered or damaged: %s", problem)
        self._records = [record for line in lines if (record := parse_record(line)) is not None]
        self.anchor = self._found(lines)
        if self.anchor.count:
            self._save_anchor()

    def entries(self) -> Iterator[Entry]:
        """Return what the file held when it was opened, oldest first, without damaged lines."""
        return iter(self._records)

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append an entry; it is on the disk when this returns.

        Raises:
            OSError: nothing, or half a line, was written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        known = self.anchor
        record = {**entry, "n": known.count + 1, "prev": known.head}
        line = json.dumps(record).encode()
        descriptor = open_private(self.path, os.O_RDWR | os.O_APPEND)
        # Without a buffer: nothing of a record that failed may be written later.
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            ends_well = size == 0 or (file.seek(-1, os.SEEK_END), file.read(1))[1] == b"\n"
            try:
                # Half a line, of a power cut, stays apart.
                rest = line + b"\n" if ends_well else b"\n" + line + b"\n"
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        self.anchor = Anchor(known.count + 1, digest(line), known.first)
        if size > MAX_BYTES:
            self._put_away()
        self._save_anchor()

    def _found(self, lines: list[bytes]) -> Anchor:
        """Return the anchor to go on from: what is kept beside the log, or what the log says.

        A log that was cut goes on with the number and the hash that it should have had: the gap
        stays visible. After a power cut the log may be one record ahead of its anchor.
        """
        kept = read_anchor(self.path)
        if kept is None and not self._records and (older := put_away(self.path)):
            with suppress(OSError):
                lines = read_lines(older[-1])
        records = [record for line in lines if (record := parse_record(line)) is not None]
        newest = next((line for line in reversed(lines) if parse_record(line) is not None), None)
        if newest is None:
            return kept or Anchor()
        if kept is None:
            numbers = numbered(records)
            return Anchor(numbers[-1], digest(newest), numbers[0])
        if records[-1].get("n") == kept.count + 1 and records[-1]["prev"] == kept.head:
            return Anchor(kept.count + 1, digest(newest), kept.first)
        return kept

    def _put_away(self) -> None:
        with suppress(OSError):  # else the file grows, and the next record tries again
            self.path.rename(self.path.with_name(f"{self.path.name}.{self.anchor.count}"))
        kept = put_away(self.path)
        while len(kept) > MAX_FILES or (kept and _is_old(kept[0], self._keep_s)):
            oldest = kept.pop(0)
            first = int(oldest.suffix[1:]) + 1
            self.anchor = Anchor(self.anchor.count, self.anchor.head, first)
            self._save_anchor()  # before, so that a power cut is not taken for an attack
            log.info("audit log of %d records removed path=%s", first - 1, oldest)
            with suppress(OSError):
                oldest.unlink()

    def _save_anchor(self) -> None:
        with suppress(WriteError):  # the state says it, and the next record writes it
            write_anchor(self.path, self.anchor)


def _is_old(path: Path, keep_s: float) -> bool:
    """Tell whether the newest record of a file, which is its last write, is older than that."""
    with suppress(OSError):
        return path.lstat().st_mtime < time.time() - keep_s
    return True
