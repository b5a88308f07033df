"""The files of a bundle's folder: regular, listed in bundle.json, and as their hashes say."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge.errors import BundleCorrupt

# Documents have kilobytes, graphs at most some gigabytes.
MAX_DOCUMENT_BYTES = 64 * 2**20
MAX_FILE_BYTES = 8 * 2**30
_BLOCK = 1 << 20
AGAIN = "copy the bundle again or rebuild it"


@dataclass(frozen=True, slots=True)
class Contents:
    """A bundle's folder and the SHA-256 of each file, by its path inside.

    What is read and what is hashed are the same bytes, so that no exchange between the two matters.
    """

    folder: Path
    hashes: Mapping[str, str]

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        """Read a file and verify its hash.

        Raises:
            BundleCorrupt: it is not listed, absent, altered, no regular file or over `limit` bytes.
        """
        return b"".join(self._verified(name, limit))

    def verify(self, name: str) -> None:
        """Verify the hash of a file of any length without keeping its content.

        Raises:
            BundleCorrupt: as `read`.
        """
        for _ in self._verified(name, MAX_FILE_BYTES):
            pass

    def holds(self, name: str) -> bool:
        """Whether the folder has such a file, listed or not."""
        return os.path.lexists(self.folder / name)

    def _verified(self, name: str, limit: int) -> Iterator[bytes]:
        """Yield the blocks of a file; raises after the last one if they are not as listed."""
        expected = self.hashes.get(name)
        if expected is None:
            raise BundleCorrupt(
                f"bundle {self.folder}: {name}: expected its hash in bundle.json, it is not "
                "listed; rebuild the bundle"
            )
        digest = hashlib.sha256()
        for block in read_blocks(self.folder, name, limit):
            digest.update(block)
            yield block
        found = digest.hexdigest()
        if found != expected:
            raise BundleCorrupt(
                f"bundle {self.folder}: {name} was altered (expected sha256 {expected[:12]}…, "
                f"found {found[:12]}…); {AGAIN}"
            )


def read_file(folder: Path, name: str, limit: int) -> bytes:
    """Read a regular file inside a folder, without its hash.

    Raises:
        BundleCorrupt: it is absent, no regular file or over `limit` bytes.
    """
    return b"".join(read_blocks(folder, name, limit))


def read_blocks(folder: Path, name: str, limit: int) -> Iterator[bytes]:
    """Yield the bytes of a regular file inside a folder.

    No link is followed below `folder`, nor is a pipe or a device opened.

    Raises:
        BundleCorrupt: it is absent, no regular file or over `limit` bytes.
    """
    try:
        with _open(folder, name) as stream:
            left = limit
            while block := stream.read(_BLOCK):
                left -= len(block)
                if left < 0:
                    raise BundleCorrupt(
                        f"bundle {folder}: {name}: expected at most {limit} bytes, found more; "
                        "rebuild the bundle"
                    )
                yield block
    except FileNotFoundError:
        raise BundleCorrupt(f"bundle {folder}: {name} is missing; {AGAIN}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BundleCorrupt(f"bundle {folder}: {name} cannot be read: {reason}; {AGAIN}") from None


def _open(folder: Path, name: str) -> BinaryIO:
    """Open a file by walking down from `folder`, one part at a time, following no link.

    Raises:
        FileNotFoundError: it is absent.
        ValueError: it, or a folder on the way, is something else.
        OSError: it cannot be opened.
    """
    *parents, last = name.split("/")
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parents:
            _expect(stat.S_ISDIR, os.lstat(part, dir_fd=place), "a folder")
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
            os.close(place)
            place = inner
        _expect(stat.S_ISREG, os.lstat(last, dir_fd=place), "a regular file")
        file = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
    finally:
        os.close(place)
    try:
        _expect(stat.S_ISREG, os.fstat(file), "a regular file")
        return os.fdopen(file, "rb")
    except BaseException:
        with suppress(OSError):
            os.close(file)
        raise


def _expect(is_kind: object, found: os.stat_result, what: str) -> None:
    assert callable(is_kind)  # noqa: S101 - narrowing only
    if not is_kind(found.st_mode):
        raise ValueError(f"expected {what}, found {_kind(found.st_mode)}")


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISLNK, "a link"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"),
        (stat.S_ISDIR, "a folder"), (stat.S_ISREG, "a file"),
    )  # fmt: skip
    return next((name for is_kind, name in kinds if is_kind(mode)), "a device")
