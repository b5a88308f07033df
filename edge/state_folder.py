"""The folder of what must survive a restart: its owner's alone, or refused."""

from __future__ import annotations

import logging
import os
import stat
from contextlib import suppress
from pathlib import Path

from edge.errors import PublishError

log = logging.getLogger(__name__)
MODE = 0o700
FILE_MODE = 0o600
_OTHERS = 0o077
_OTHERS_WRITE = 0o022
# A folder that holds one of these is ours, whatever lies beside it.
_OURS = ".outbox.db"


def prepare_state_folder(folder: Path) -> None:
    """Make `folder` with mode 0700, or make sure that nobody else gets at what it holds.

    A wider folder of ours is tightened, with its files (0600), and one log line says so. A folder
    that others may read and that holds other things is left as it is, with a warning: our files
    in it are private all the same.

    Raises:
        PublishError: it cannot be made or used; it or a file in it is another user's; it is shared
            by all users as /tmp is; everybody may write to it beside foreign files; a link in it.
    """
    try:
        folder.mkdir(mode=MODE, parents=True, exist_ok=True)
        _check_link(folder)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _problem(
            folder, f"cannot be used: {error.strerror}; choose another folder or change its owner"
        ) from error
    try:
        _tighten(folder, descriptor)
    except OSError as error:
        raise _problem(folder, f"{error.strerror}; change its owner") from error
    finally:
        os.close(descriptor)


def find_problem(folder: Path) -> str | None:
    """Say what is wrong with the rights of an existing state folder; change nothing."""
    found = folder.stat()
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}, not to user {os.geteuid()}"
    mode = stat.S_IMODE(found.st_mode)
    if mode & stat.S_ISVTX and mode & _OTHERS_WRITE:
        return "is shared by all users; choose a folder of its own"
    if mode & _OTHERS_WRITE:
        return f"others may write to it (mode {mode:04o}); chmod 700"
    return None


def _check_link(folder: Path) -> None:
    """A link is followed if we or root made it, as systemd does for a dynamic user."""
    found = folder.lstat()
    if not stat.S_ISLNK(found.st_mode):
        return
    if found.st_uid not in (0, os.geteuid()):
        raise _problem(folder, f"is a link of user {found.st_uid}; delete it")
    log.info("state folder is a link path=%s target=%s", folder, folder.resolve())


def _tighten(folder: Path, descriptor: int) -> None:
    found = os.fstat(descriptor)
    if found.st_uid != os.geteuid():
        raise _problem(
            folder,
            f"belongs to user {found.st_uid}, and this is user {os.geteuid()}; choose another "
            "folder or change its owner",
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & stat.S_ISVTX and mode & _OTHERS_WRITE:
        raise _problem(folder, "is shared by all users; choose a folder of its own")
    _warn_of_parent(folder)
    names = os.listdir(descriptor)
    if names and not any(name.endswith(_OURS) for name in names):
        _check_foreign(folder, mode)
        return
    if mode & _OTHERS:
        os.fchmod(descriptor, MODE)
    files = sum(_tighten_file(folder, descriptor, name) for name in names)
    if mode & _OTHERS or files:
        log.warning(
            "state folder was open to others, now it is not path=%s mode=%04o files=%d",
            folder, mode, files,
        )  # fmt: skip


def _check_foreign(folder: Path, mode: int) -> None:
    """Other things in it may be meant for others: their rights are not ours to take away."""
    if mode & stat.S_IWOTH:
        raise _problem(
            folder,
            f"everybody may write to it (mode {mode:04o}), and it holds other things; choose a "
            "folder of its own, or chmod 700",
        )
    if mode & _OTHERS:
        log.warning(
            "state folder is open to others and holds other things path=%s mode=%04o; choose a "
            "folder of its own", folder, mode,
        )  # fmt: skip


def _tighten_file(folder: Path, descriptor: int, name: str) -> bool:
    """Take the rights of others from a file; say whether it had any."""
    found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        raise _problem(folder, f"{name} is a link; delete it")
    if not stat.S_ISREG(found.st_mode):
        return False
    if found.st_uid != os.geteuid():
        raise _problem(folder, f"{name} belongs to user {found.st_uid}; delete it or change that")
    if not found.st_mode & _OTHERS:
        return False
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    opened = os.open(name, flags, dir_fd=descriptor)
    try:
        os.fchmod(opened, FILE_MODE)
    finally:
        os.close(opened)
    return True


def _warn_of_parent(folder: Path) -> None:
    parent = folder.resolve().parent
    with suppress(OSError):
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            log.warning(
                "others can replace the state folder path=%s: everybody may write to %s",
                folder, parent,
            )  # fmt: skip


def _problem(folder: Path, what: str) -> PublishError:
    return PublishError(f"state folder {folder}: {what}")
