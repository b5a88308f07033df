"""Files that only their owner may read, opened so that a link cannot lead elsewhere."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MODE = 0o600


def open_private(path: Path, flags: int) -> int:
    """Open `path` with `flags`, make it if absent, and return the file descriptor.

    The file has mode 0600 whatever the umask is and whatever it had before. It is not truncated,
    no child process inherits it, and opening never waits.

    Raises:
        OSError: as `os.open` does; also where a link, a pipe or another user's file stands there.
    """
    flags = flags & ~os.O_TRUNC | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, MODE)
    except OSError as error:
        if error.errno == errno.ELOOP:
            what = "expected a file of ours, found a symbolic link; delete it"
            raise OSError(errno.ELOOP, what, str(path)) from None
        raise
    try:
        _check(path, os.fstat(descriptor))
        os.fchmod(descriptor, MODE)
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        what = "expected a regular file, found something else; delete it"
        raise OSError(errno.EINVAL, what, str(path))
    if found.st_uid != os.geteuid():
        what = f"expected a file of user {os.geteuid()}, it belongs to user {found.st_uid}"
        raise OSError(errno.EPERM, what, str(path))
