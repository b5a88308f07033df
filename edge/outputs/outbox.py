"""Results on disk from the decision to the broker's acknowledgement, and the numbers they carry.

One SQLite file per station, in WAL mode with synchronous=FULL: when `append` returns, its results
survive a power cut. That costs one flush of the disk per call (2 ms measured on a virtual disk,
more on flash cards), which is why `OutboxWriter` commits everything that waits at once. Removing
is not flushed: a removal that a power cut undoes only sends a result twice.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from edge.config.mqtt import SpoolSettings
from edge.errors import PublishError
from edge.messages.identity import uuid7
from edge.messages.payload import Payload, encode
from edge.result import VERDICTS

LAYOUT = 1
PAGE_BYTES = 4096
# Removing delivered results writes too. Without this room a disk that the outbox itself has filled
# could never be emptied again.
RESERVE_BYTES = 8 * 2**20
_FULL = "the disk is full; free space, results wait in memory until then"
# A device without a battery clock starts in 1970: what it wrote then has no known age.
_CLOCK_SET_S = 1_700_000_000
_TABLES = (
    """CREATE TABLE results (seq INTEGER PRIMARY KEY, created_s REAL NOT NULL,
                             size INTEGER NOT NULL, payload TEXT NOT NULL)""",
    "CREATE TABLE totals (name TEXT PRIMARY KEY, value INTEGER NOT NULL)",
    f"PRAGMA user_version = {LAYOUT}",
)


class Row(NamedTuple):
    """A stored result; `payload` is its JSON text."""

    seq: int
    payload: str


class Outbox:
    """Numbers, counts and keeps results; safe to use from several threads, not processes.

    Args:
        path: the file, made if absent; its folder too.
        limits: rows, payload bytes and age; beyond them the oldest results are dropped and counted.
        keep: False numbers and counts but stores no result, for stations without a broker.

    Raises:
        PublishError: the file cannot be used, or another process uses it.
    """

    def __init__(self, path: Path, limits: SpoolSettings, *, keep: bool = True):
        self.path = path
        self._limits = limits
        self._keep = keep
        self._lock = threading.Lock()
        self._claim = _claim(path)
        self._totals: dict[str, int] = {}
        self._rows = self._bytes = 0
        try:
            with self._translated():
                self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._open()
            except BaseException:
                self._db.close()
                raise
        except BaseException:
            self._claim.close()
            raise

    def append(
        self, payloads: Sequence[Payload], skipped: Mapping[str, int] | None = None
    ) -> list[Payload]:
        """Number and store decisions in one transaction; return them with `seq` and `msg_id`.

        Args:
            payloads: from `result_payload`, in the order of the decisions.
            skipped: decisions by verdict that were lost before these; they take numbers too, so
                that consumers see the gap.

        Raises:
            PublishError: nothing was stored and no number was used; call again.
        """
        with self._lock, self._translated():
            totals = dict(self._totals)
            for verdict, count in (skipped or {}).items():
                totals[verdict] += count
                totals["seq"] += count
                totals["lost"] += count
            numbered = []
            for payload in payloads:
                totals["seq"] += 1
                totals[payload["result"]] += 1
                order = {"schema": payload["schema"], "msg_id": uuid7(), "seq": totals["seq"]}
                numbered.append({**order, **payload})
            with self._transaction("FULL"):
                rows, size, dropped = self._store(numbered)
                totals["lost"] += dropped
                self._save(totals)
            self._totals, self._rows, self._bytes = totals, rows, size
        return numbered

    def pending(self, after_seq: int, limit: int) -> list[Row]:
        """Return up to `limit` stored results beyond `after_seq`, oldest first."""
        query = "SELECT seq, payload FROM results WHERE seq > ? ORDER BY seq LIMIT ?"
        with self._lock, self._translated():
            return [Row(*row) for row in self._db.execute(query, (after_seq, limit))]

    def remove(self, seqs: Sequence[int], *, lost: bool = False) -> None:
        """Forget delivered results, or (`lost`) count results that can never be delivered."""
        if not seqs:
            return
        marks = ",".join("?" * len(seqs))
        with self._lock, self._translated():
            totals = dict(self._totals)
            with self._transaction("NORMAL"):
                where = f"FROM results WHERE seq IN ({marks})"
                query = f"SELECT count(*), total(size) {where}"
                count, size = self._db.execute(query, seqs).fetchone()
                self._db.execute(f"DELETE {where}", seqs)
                if lost:
                    totals["lost"] += count
                    self._save(totals)
            self._totals = totals
            self._rows -= count
            self._bytes -= int(size)

    @property
    def depth(self) -> int:
        """Results stored."""
        return self._rows

    @property
    def bytes(self) -> int:
        """Bytes of their payloads; the file itself keeps its largest size."""
        return self._bytes

    @property
    def last_seq(self) -> int:
        """The highest number given out, 0 before the first decision."""
        return self._totals["seq"]

    @property
    def lost(self) -> int:
        """Decisions that were dropped undelivered since the file was made."""
        return self._totals["lost"]

    @property
    def counts(self) -> dict[str, int]:
        """Decisions by verdict since the file was made; their sum is `last_seq`."""
        totals = self._totals
        return {verdict: totals[verdict] for verdict in VERDICTS}

    def oldest_age_s(self) -> float:
        """Return the age of the oldest stored result, 0 when there is none."""
        query = "SELECT created_s FROM results ORDER BY seq LIMIT 1"
        with self._lock, self._translated():
            row = self._db.execute(query).fetchone()
        return max(0.0, time.time() - row[0]) if row else 0.0

    def close(self) -> None:
        """Close the file and let another process have it."""
        with self._lock:
            self._db.close()
            self._claim.close()

    def _open(self) -> None:
        with self._translated():
            self._db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA wal_autocheckpoint = 250")  # pages: a log of about 1 MiB
            (layout,) = self._db.execute("PRAGMA user_version").fetchone()
            (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if layout == 0 and tables == 0:
                with self._transaction("FULL"):
                    for statement in _TABLES:
                        self._db.execute(statement)
            elif layout != LAYOUT:
                raise PublishError(
                    f"outbox {self.path}: expected layout {LAYOUT}, found {layout}; run the "
                    f"version that wrote it until it is empty, or move the file away"
                )
            names = ("seq", "lost", *VERDICTS)
            stored = dict(self._db.execute("SELECT name, value FROM totals"))
            self._totals = {name: stored.get(name, 0) for name in names}
            query = "SELECT count(*), total(size) FROM results"
            self._rows, size = self._db.execute(query).fetchone()
            self._bytes = int(size)

    def _store(self, numbered: Sequence[Payload]) -> tuple[int, int, int]:
        """Insert, trim, and return rows, bytes and how many results were dropped."""
        if not self._keep:
            return self._rows, self._bytes, 0
        now_s = time.time()
        texts = [encode(payload) for payload in numbered]
        sizes = [len(text.encode()) for text in texts]
        seqs = [payload["seq"] for payload in numbered]
        self._check_room(sum(sizes))
        rows = list(zip(seqs, [now_s] * len(seqs), sizes, texts, strict=True))
        self._db.executemany("INSERT INTO results VALUES (?, ?, ?, ?)", rows)
        return self._trim(self._rows + len(rows), self._bytes + sum(sizes), now_s)

    def _check_room(self, size: int) -> None:
        disk = os.statvfs(self.path.parent)
        reserve = min(RESERVE_BYTES, disk.f_blocks * disk.f_frsize // 8)
        if disk.f_bavail * disk.f_frsize < reserve + 2 * size:
            (pages,) = self._db.execute("PRAGMA freelist_count").fetchone()
            if pages * PAGE_BYTES < 2 * size:
                raise PublishError(f"outbox {self.path}: {_FULL}")

    def _trim(self, rows: int, size: int, now_s: float) -> tuple[int, int, int]:
        dropped, last = 0, 0
        query = "SELECT seq, created_s, size FROM results ORDER BY seq"
        for seq, created_s, row_size in self._db.execute(query):
            is_old = _CLOCK_SET_S < created_s < now_s - self._limits.max_age_s
            if not (is_old or rows > self._limits.max_rows or size > self._limits.max_bytes):
                break
            rows, size, dropped, last = rows - 1, size - row_size, dropped + 1, seq
        if dropped:
            self._db.execute("DELETE FROM results WHERE seq <= ?", (last,))
        return rows, size, dropped

    def _save(self, totals: Mapping[str, int]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO totals VALUES (?, ?)", list(totals.items()))

    @contextmanager
    def _transaction(self, synchronous: str) -> Iterator[None]:
        self._db.execute(f"PRAGMA synchronous = {synchronous}")
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite ends it by itself when the disk is full
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise PublishError(f"outbox {self.path}: {_advice(error)}") from error


def outbox_path(folder: Path, node: str, station: str) -> Path:
    """Return where a station's outbox lies below the state folder."""
    return folder / f"{node}.{station}.outbox.db"


def _claim(path: Path) -> IO[str]:
    """Take the lock file beside the outbox; the system frees it when the process ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.with_name(f"{path.name}.lock").open("a+", encoding="ascii")
    except OSError as error:
        raise PublishError(
            f"outbox {path}: expected a folder to write to, got {error.strerror}; choose another "
            f"state folder or change its owner"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read(20).strip() or "unknown"
        file.close()
        raise PublishError(
            f"another edge-infer runs this station (pid {owner}, outbox {path}); stop it, or give "
            f"this one another station name or state folder"
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _advice(error: Exception) -> str:
    text = str(error)
    if "full" in text:
        return _FULL
    if "not a database" in text or "malformed" in text:
        return (
            f"expected an SQLite outbox, found {text}; move the file away and start again: the "
            f"results in it stay there unsent and numbering restarts at 1"
        )
    if "readonly" in text or "unable to open" in text:
        return f"expected a file to write to, got {text}; check its owner and the mount"
    return f"{text}; check the disk"
