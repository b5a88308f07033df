"""Whether a folder of engines is this device's own work.

A compiled engine is code, and its parity record lets a station run it. So a record is sealed: an
HMAC over its bytes with a random key that lies in the state folder of this installation. A record
that was made elsewhere, or was changed, has no such seal.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from edge.bundle.contents import read_file
from edge.errors import BundleCorrupt, EngineError, PublishError
from edge.paths import find_state_dir
from edge.state_folder import prepare_state_folder

KEY: Final = "engines.key"
# Beside a record: its HMAC-SHA256 in hexadecimal.
SEAL: Final = ".seal"
KEY_BYTES: Final = 32
MAX_RECORD_BYTES: Final = 2**20
REBUILD: Final = "build it on this device: edge-build-engine BUNDLE --target NAME"
SAME_USER: Final = "as the station's user, with the same EDGE_STATE_DIR"


def make_seal(record: bytes) -> bytes:
    """Make the content of a record's seal; the key is made on first use.

    Raises:
        EngineError: the key cannot be made or used.
    """
    return f"{_seal(_make_key(), record)}\n".encode()


def seal_path(record: Path) -> Path:
    """Path of a record's seal, beside it."""
    return record.with_name(record.name + SEAL)


def read_sealed(path: Path) -> tuple[bytes, str | None]:
    """Read a record, and say in one line why it is not to be trusted, or None.

    Raises:
        OSError: the record cannot be read.
    """
    try:
        record = read_file(path.parent, path.name, MAX_RECORD_BYTES)
    except BundleCorrupt as error:
        raise OSError(str(error)) from None
    try:
        key = _read_key()
        seal = read_file(path.parent, seal_path(path).name, 200).decode("ascii").strip()
    except EngineError as error:
        return record, str(error)
    except (BundleCorrupt, ValueError):
        return record, f"{path}: has no seal of this device; {REBUILD}, {SAME_USER}"
    if key is None or not hmac.compare_digest(seal, _seal(key, record)):
        return record, f"{path}: was made elsewhere or changed; {REBUILD}, {SAME_USER}"
    return record, None


def access_problem(folder: Path) -> str | None:
    """Say in one line who else can change a folder of engines or a file in it; None for nobody.

    Root's files are as good as our own.
    """
    try:
        for path in (folder, *sorted(folder.iterdir())):
            found = path.lstat()
            if stat.S_ISLNK(found.st_mode):
                return f"{path}: expected a file or folder, found a link; {REBUILD}"
            if found.st_uid not in (0, os.geteuid()):
                return f"{path}: belongs to user {found.st_uid}; {REBUILD}, {SAME_USER}"
            if found.st_mode & 0o022:
                mode = stat.S_IMODE(found.st_mode)
                return f"{path}: others may write to it (mode {mode:04o}); chmod go-w it, {REBUILD}"
    except OSError as error:
        return f"{folder}: cannot be looked at: {error.strerror}; {REBUILD}"
    return None


def close_to_others(folder: Path) -> None:
    """Take from all others the right to write to a folder and its files, whatever the umask was."""
    for path in (folder, *folder.iterdir()):
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o022)


def _seal(key: bytes, record: bytes) -> str:
    return hmac.new(key, record, hashlib.sha256).hexdigest()


def _key_path() -> Path:
    return find_state_dir(None) / KEY


def _make_key() -> bytes:
    """Return this installation's key; make it where there is none."""
    key = _read_key()
    if key is not None:
        return key
    path = _key_path()
    try:
        prepare_state_folder(path.parent)
        new = path.with_name(f".{KEY}.{secrets.token_hex(4)}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(secrets.token_bytes(KEY_BYTES))
                stream.flush()
                os.fsync(stream.fileno())
            # Two builds at once: the first one's key stays.
            with suppress(FileExistsError):
                os.link(new, path)
        finally:
            new.unlink()
    except PublishError as error:
        raise EngineError(str(error)) from error
    except OSError as error:
        raise EngineError(
            f"{path}: the key of this device cannot be made: {error.strerror}; change the folder's "
            "owner, or choose another one with EDGE_STATE_DIR"
        ) from error
    made = _read_key()
    if made is None:
        raise EngineError(f"{path}: the key of this device cannot be read; delete it")
    return made


def _read_key() -> bytes | None:
    """Return the key, None where there is none.

    Raises:
        EngineError: others can read or change it, or it is none.
    """
    path = _key_path()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EngineError(f"{path}: cannot be read: {error.strerror}; delete it") from None
    try:
        found = os.fstat(descriptor)
        is_private = found.st_uid in (0, os.geteuid()) and not found.st_mode & 0o077
        if not stat.S_ISREG(found.st_mode) or not is_private:
            raise EngineError(
                f"{path}: expected a file that only its owner can read; delete it and build the "
                "engines again"
            )
        key = os.read(descriptor, KEY_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(key) != KEY_BYTES:
        raise EngineError(f"{path}: expected {KEY_BYTES} bytes; delete it and build again")
    return key
