"""The SQLite file of the history: opened, made, one writer at a time."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.errors import ConfigError

LAYOUT = 1
FILE = "history.db"
_TABLES = (
    """CREATE TABLE results (
        id INTEGER PRIMARY KEY, node TEXT NOT NULL, station TEXT NOT NULL,
        outbox_id TEXT NOT NULL, seq INTEGER NOT NULL, msg_id TEXT NOT NULL,
        at_ms INTEGER NOT NULL, part_id TEXT, verdict TEXT NOT NULL, reason TEXT,
        score REAL, threshold REAL, types TEXT NOT NULL, total_ms REAL,
        is_replayed INTEGER NOT NULL, camera TEXT, frame_id INTEGER, capture TEXT,
        payload BLOB NOT NULL,
        UNIQUE (node, station, outbox_id, seq))""",
    "CREATE INDEX results_by_time ON results (node, station, at_ms)",
    "CREATE INDEX results_by_part ON results (part_id)",
    "CREATE INDEX results_by_age ON results (at_ms)",
    """CREATE TABLE pictures (
        id INTEGER PRIMARY KEY, node TEXT NOT NULL, station TEXT NOT NULL,
        camera TEXT NOT NULL, frame_id INTEGER NOT NULL, capture TEXT NOT NULL,
        purpose TEXT NOT NULL, at_ms INTEGER NOT NULL, bytes INTEGER NOT NULL,
        jpeg BLOB NOT NULL, heat BLOB,
        UNIQUE (node, station, camera, frame_id, capture, purpose))""",
    "CREATE INDEX pictures_by_age ON pictures (at_ms)",
    """CREATE TABLE alerts (
        id INTEGER PRIMARY KEY, node TEXT NOT NULL, station TEXT NOT NULL,
        at_ms INTEGER NOT NULL, code TEXT NOT NULL, severity TEXT NOT NULL,
        state TEXT NOT NULL, detail TEXT NOT NULL)""",
    "CREATE INDEX alerts_by_time ON alerts (node, station, at_ms)",
    f"PRAGMA user_version = {LAYOUT}",
)


class HistoryFile:
    """One connection for writing and one per thread for reading.

    Args:
        folder: where the file lies; made with mode 0700.

    Raises:
        ConfigError: the folder or the file cannot be used, or is of a newer version.
    """

    def __init__(self, folder: Path):
        self.path = folder / FILE
        self._lock = threading.RLock()
        self._readers = threading.local()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
            self._writer = self._connect()
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(
                f"folder: {self.path} cannot be used: {error}; choose another folder, or move the "
                "file away to begin a new history"
            ) from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the writer for one transaction."""
        with self._lock, self._writer:
            yield self._writer

    @property
    def reader(self) -> sqlite3.Connection:
        """The connection of this thread; rows are read by name."""
        connection: sqlite3.Connection | None = getattr(self._readers, "connection", None)
        if connection is None:
            connection = self._connect()
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA query_only = 1")
            self._readers.connection = connection
        return connection

    def close(self) -> None:
        """End writing; readers of other threads end with their threads."""
        with self._lock:
            self._writer.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=10, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        return connection

    def _prepare(self) -> None:
        (layout,) = self._writer.execute("PRAGMA user_version").fetchone()
        if layout == 0:
            self._writer.execute("PRAGMA auto_vacuum = INCREMENTAL")
            for statement in _TABLES:
                self._writer.execute(statement)
            self._writer.commit()
        elif layout != LAYOUT:
            raise ConfigError(
                f"folder: {self.path} has layout {layout}, expected {LAYOUT}; use the version that "
                "wrote it, or choose another folder"
            )
