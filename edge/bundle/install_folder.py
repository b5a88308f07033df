"""The folder of installed bundles: its lock, its links, and copies that are whole or swept away."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edge.bundle.contents import MAX_FILE_BYTES, read_blocks
from edge.errors import BundleError, WriteError

_LOCK: Final = ".lock"
# The end of names under which things are made or removed.
_PART: Final = ".part"


@contextmanager
def at_work(folder: Path, *, make: bool = False) -> Iterator[None]:
    """Keep other commands out of the folder; a lock ends with its process, however that ends.

    Raises:
        BundleError: another command has it, or there is none and none is to be made.
        WriteError: it cannot be made.
    """
    if not make and not folder.is_dir():
        raise no_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise WriteError(folder, error.strerror or str(error)) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BundleError(
                f"{folder}: another edge-bundle is at work in it; wait until it has ended"
            ) from None
        yield
    finally:
        os.close(lock)


def no_folder(folder: Path) -> BundleError:
    """Return what to raise where the folder does not exist."""
    return BundleError(
        f"{folder}: expected a folder of installed bundles, found none; make one with edge-bundle "
        f"install BUNDLE --into {folder}"
    )


def part_of(path: Path) -> Path:
    """Return a name beside `path` under which to make or remove it; `sweep` finds it."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{_PART}")


def places(folder: Path) -> list[Path]:
    """Return the folders of the installed bundles, by name."""
    names = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in names if path.is_dir() and not path.is_symlink())


def target(folder: Path, name: str) -> str | None:
    """Return the name of the bundle that a link points to, None where there is no such link.

    Raises:
        BundleError: something else has its name.
    """
    try:
        return (folder / name).readlink().name
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BundleError(
            f"{folder / name}: expected a link to a bundle, found something else "
            f"({error.strerror}); move it elsewhere"
        ) from None


def link(path: Path, name: str) -> None:
    """Point a link to the bundle of that name beside it, in one step.

    Raises:
        WriteError: it cannot be written; it points to where it did.
    """
    part = part_of(path)
    try:
        part.symlink_to(name)
        part.replace(path)
        sync(path.parent)
    except OSError as error:
        raise WriteError(path, error.strerror or str(error)) from error


def copy_file(source: Path, name: str, to: Path) -> None:
    """Copy a regular file of a bundle to the same place below another folder, onto the disk.

    Raises:
        BundleCorrupt: it cannot be read.
        OSError: it cannot be written.
    """
    path = to / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for block in read_blocks(source, name, MAX_FILE_BYTES):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove what an interrupted command has left."""
    for path in folder.glob(f".*{_PART}"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
