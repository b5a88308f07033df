"""The second place of a station's numbers: a small file beside the outbox.

It holds the same record twice. The copies are written in turn, each with a checksum, so that a
power cut in the middle of a write leaves the older one. The file never grows: it can be written
while the disk is full, which is when it is needed most.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

SLOT_BYTES = 4096  # a page each: no write touches both
HIGHEST = 2**53  # numbers beyond are not exact in JSON


@dataclass(frozen=True, slots=True)
class NumberRecord:
    """What is known of the numbers without the outbox.

    Attributes:
        outbox_id: of the outbox beside the file.
        reserved: no higher number has been given out.
        given: the highest number given out, as of this record.
        stored: the highest number that the outbox knew.
        safe: every number up to it was stored or delivered, or told as lost.
        waiting: results in the outbox, as of this record.
        lost: results beyond `stored` that are lost; exact once `is_open` is False.
        is_open: a process uses the outbox, or has ended without closing it.
        revision: counts the writes.
    """

    outbox_id: str
    reserved: int
    given: int
    stored: int
    safe: int
    waiting: int
    lost: int
    is_open: bool
    revision: int = 0


class NumberFile:
    """Reads and writes the record; used by one thread at a time.

    Args:
        path: of the file, made if absent.

    Raises:
        OSError: the file cannot be used.
    """

    def __init__(self, path: Path):
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        self._revision = 0

    def read(self) -> NumberRecord | None:
        """Return the newest whole record, None when there is none."""
        slots = (os.pread(self._file, SLOT_BYTES, i * SLOT_BYTES) for i in (0, 1))
        records = [record for record in map(_decode, slots) if record is not None]
        if not records:
            return None
        newest = max(records, key=lambda record: record.revision)
        self._revision = newest.revision
        return newest

    def write(self, record: NumberRecord) -> None:
        """Replace the older copy; the record is on the disk when this returns.

        Raises:
            OSError: the file holds the record before.
        """
        revision = self._revision + 1
        data = _encode(replace(record, revision=revision))
        if os.fstat(self._file).st_size < 2 * SLOT_BYTES:  # a new file: take its room on the disk
            os.pwrite(self._file, b" " * (2 * SLOT_BYTES), 0)
            os.fsync(self._file)
            _sync_folder(self.path.parent)
        os.pwrite(self._file, data, revision % 2 * SLOT_BYTES)
        os.fsync(self._file)
        self._revision = revision

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def number_path(outbox: Path) -> Path:
    """Return where the numbers of an outbox lie."""
    return outbox.with_name(f"{outbox.name}.numbers")


def _encode(record: NumberRecord) -> bytes:
    text = json.dumps(asdict(record)).encode()
    return b"%s\n%08x\n" % (text, zlib.crc32(text)) + b" " * (SLOT_BYTES - len(text) - 10)


def _decode(slot: bytes) -> NumberRecord | None:
    text, _, rest = slot.partition(b"\n")
    if rest[:8] != b"%08x" % zlib.crc32(text):
        return None
    try:
        record = NumberRecord(**json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None
    values = asdict(record)
    is_open, outbox_id = values.pop("is_open"), values.pop("outbox_id")
    is_whole = isinstance(is_open, bool) and isinstance(outbox_id, str)
    are_numbers = all(type(value) is int and 0 <= value < HIGHEST for value in values.values())
    return record if is_whole and are_numbers else None


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
