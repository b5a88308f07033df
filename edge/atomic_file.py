"""Files that are written whole or not at all, also when the power fails."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge.errors import WriteError


@contextmanager
def replacing(path: Path, *, is_private: bool = False) -> Iterator[Path]:
    """Yield a path beside `path` to write to; what was written there then replaces `path`.

    The data is on the disk before it takes the name. After an error `path` is as it was. Each call
    writes to a file of its own, so that two processes never mix their data. `is_private`: only the
    owner may read it (mode 0600), whatever the umask is.

    Raises:
        WriteError: the file cannot be written.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        if is_private:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(part, flags, 0o600))
        yield part
        _sync(part)
        part.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise WriteError(path, error.strerror or str(error)) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes | memoryview, *, is_private: bool = False) -> None:
    """Replace the file at `path` with `data`; `is_private` as in `replacing`.

    Raises:
        WriteError: the file cannot be written; it is as it was.
    """
    with replacing(path, is_private=is_private) as part:
        part.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Replace the file at `path` with `text` in UTF-8.

    Raises:
        WriteError: the file cannot be written; it is as it was.
    """
    write_bytes(path, text.encode())


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
