"""Files with a password or a private key: refused where others can read them."""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path

from edge.errors import ConfigError

MAX_BYTES = 64 * 1024
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_secret(path: Path, what: str) -> str:
    """Return the password in a file: its only line, without a byte-order mark and the line break.

    Args:
        path: a regular file, or a link to one, of at most 64 KiB. Only its owner may read it.
            Group may, too, if root owns it and nobody may write it (0440), as systemd does.
        what: names the file in messages, such as `mqtt.password_file`.

    Raises:
        ConfigError: the file is missing, open to others, empty, or not one line of UTF-8.
    """
    data = _read(path, what)
    if data.startswith(_UTF_16) or b"\0" in data:
        raise _problem(path, what, "expected a password in UTF-8, found UTF-16; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        message = "expected a password in UTF-8, found another encoding; save it as UTF-8"
        raise _problem(path, what, message) from None
    text = text.rstrip("\r\n")
    if not text:
        raise _problem(path, what, "expected a password, the file is empty; write it there")
    if "\n" in text or "\r" in text:
        raise _problem(path, what, "expected a password on one line, found several lines")
    return text


def check_secret_file(path: Path, what: str) -> None:
    """Check a file with a private key, which a library will read.

    Raises:
        ConfigError: as `read_key_file` does.
    """
    read_key_file(path, what)


def read_key_file(path: Path, what: str) -> bytes:
    """Return what a file with a private key holds; the rights are those of `read_secret`.

    Raises:
        ConfigError: the file is missing, open to others, empty or too large.
    """
    data = _read(path, what)
    if not data:
        raise _problem(path, what, "expected a private key, the file is empty")
    return data


def _read(path: Path, what: str) -> bytes:
    try:
        # Opening must not wait for whoever writes to a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"expected a readable file, got {reason}; check path and owner"
        raise _problem(path, what, message) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _problem(path, what, "expected a regular file; give the path of one")
        _check_rights(path, what, found)
        data = os.read(descriptor, MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > MAX_BYTES:
        raise _problem(path, what, f"expected at most {MAX_BYTES} bytes; is it another file?")
    return data


def _check_rights(path: Path, what: str, found: os.stat_result) -> None:
    mode = stat.S_IMODE(found.st_mode)
    is_of_systemd = found.st_uid == 0 and mode == 0o440
    if mode & 0o077 and not is_of_systemd:
        raise _problem(path, what, f"others can read it (mode {mode:04o}); chmod 600")


def _problem(path: Path, what: str, message: str) -> ConfigError:
    return ConfigError(f"{what}: {path}: {message}")
