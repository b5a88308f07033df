"""The SQLite file of an outbox: claimed, opened, upgraded; set aside when it is damaged."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

from edge.errors import PublishError
from edge.private_file import open_private

LAYOUT = 2
PAGE_BYTES = 4096
# No broker takes more, and reading it would take the memory of the inspection.
MAX_ROW_BYTES = 16 * 2**20
# Removing delivered results writes too. Without this room a disk that the outbox itself has filled
# could never be emptied again.
RESERVE_BYTES = 8 * 2**20
FULL = "the disk is full; free space"
_TABLES = (
    """CREATE TABLE results (seq INTEGER PRIMARY KEY, created_s REAL NOT NULL,
                             size INTEGER NOT NULL, payload TEXT NOT NULL)""",
    "CREATE TABLE totals (name TEXT PRIMARY KEY, value INTEGER NOT NULL)",
)
# `facts` holds the outbox's id and its clock, `set_aside` rows that nobody could read.
_SINCE_LAYOUT_2 = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE set_aside (seq INTEGER, payload BLOB, reason TEXT)",
    f"PRAGMA user_version = {LAYOUT}",
)
_DAMAGE = ("not a database", "malformed", "no such table", "no such column", "encrypted")


def outbox_path(folder: Path, node: str, station: str) -> Path:
    """Return where a station's outbox lies below the state folder."""
    return folder / f"{node}.{station}.outbox.db"


def log_path(path: Path) -> Path:
    """Return where SQLite keeps the write-ahead log of a file."""
    return path.with_name(f"{path.name}-wal")


def claim(path: Path) -> IO[str]:
    """Take the lock file beside the outbox; the system frees it when the process ends.

    Raises:
        PublishError: the folder cannot be used, or another process runs this station.
    """
    lock = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.fdopen(open_private(lock, os.O_RDWR), "r+", encoding="ascii", errors="replace")
    except (OSError, ValueError) as error:
        raise PublishError(_unusable(path, error)) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = file.read(20).strip() or "unknown"
        file.close()
        raise PublishError(
            f"another edge-infer runs this station (pid {owner}, outbox {path}); stop it, or give "
            f"this one another station name or state folder"
        ) from error
    except OSError as error:
        file.close()
        raise PublishError(_unusable(path, error)) from error
    try:
        os.ftruncate(file.fileno(), 0)
        os.pwrite(file.fileno(), str(os.getpid()).encode(), 0)
    except OSError as error:
        file.close()
        raise PublishError(_unusable(path, error)) from error
    return file


def connect(path: Path) -> tuple[sqlite3.Connection, int]:
    """Open the file and bring it to our layout; return it and the layout that it had, 0 if new.

    Raises:
        PublishError: the file belongs to something else.
        sqlite3.Error: the file is damaged, or the disk refuses.
    """
    os.close(open_private(path, os.O_RDWR))  # its log takes the mode; SQLite would follow a link
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        if sys.version_info >= (3, 11):
            db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_ROW_BYTES)
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA wal_autocheckpoint = 250")  # pages: a log of about 1 MiB
        return db, _upgrade(db, path)
    except BaseException:
        db.close()
        raise


def _upgrade(db: sqlite3.Connection, path: Path) -> int:
    (layout,) = db.execute("PRAGMA user_version").fetchone()
    names = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    if layout == LAYOUT and not names:
        raise sqlite3.DatabaseError("malformed: the tables are gone")
    if layout == LAYOUT and {"results", "totals", "facts", "set_aside"} <= names:
        return LAYOUT
    if layout != 1 and (layout or names):
        raise PublishError(
            f"outbox {path}: expected layout {LAYOUT}, found {layout}; run the version that wrote "
            f"it until it is empty, or move the file away"
        )
    db.execute("PRAGMA synchronous = FULL")
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement in (*(() if layout else _TABLES), *_SINCE_LAYOUT_2):
            db.execute(statement)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return int(layout)


def has_room(path: Path, size: int, free_inside: Callable[[], int]) -> bool:
    """Tell whether `size` more bytes may be stored; `free_inside` tells what the file has free."""
    disk = os.statvfs(path.parent)
    reserve = min(RESERVE_BYTES, disk.f_blocks * disk.f_frsize // 8)
    return disk.f_bavail * disk.f_frsize >= reserve + 2 * size or free_inside() >= 2 * size


def set_aside(path: Path) -> Path:
    """Give the file and its logs another name; return that of the file."""
    number = 1
    while (other := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(other.with_name(other.name + suffix))
    path.rename(other)
    return other


def is_damage(error: BaseException | None) -> bool:
    """Tell whether SQLite means the content of the file, not the disk below it."""
    text = str(error)
    return isinstance(error, sqlite3.Error) and any(sign in text for sign in _DAMAGE)


def problem(path: Path, error: Exception) -> PublishError:
    """Return what a failed use of the outbox means, as one line with what to do."""
    text = str(error)
    is_full = "full" in text or (isinstance(error, OSError) and error.errno == errno.ENOSPC)
    if is_full:
        return PublishError(f"outbox {path}: {FULL}")
    if isinstance(error, OSError):
        return PublishError(_unusable(path, error))
    if is_damage(error):
        return PublishError(f"outbox {path}: {text}; it is set aside, a new one takes its place")
    if "readonly" in text or "unable to open" in text:
        advice = f"expected a file to write to, got {text}; check its owner, the mount and the room"
        return PublishError(f"outbox {path}: {advice}")
    return PublishError(f"outbox {path}: {text}; check the disk and its free space")


def _unusable(path: Path, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    return (
        f"outbox {path}: expected a folder to write to, got {reason}; free some space, change its "
        f"owner or choose another state folder"
    )
