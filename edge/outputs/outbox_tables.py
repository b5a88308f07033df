"""The tables of an outbox, as one thread at a time reads and changes them.

Every method that writes is one transaction: it raises and has changed nothing, or it is done.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from edge.config.mqtt import SpoolSettings
from edge.outputs.held_results import Row
from edge.outputs.number_file import HIGHEST
from edge.outputs.outbox_clock import OutboxClock
from edge.outputs.outbox_file import PAGE_BYTES, connect
from edge.outputs.outbox_rows import find_impossible, move_aside, read_page, rescue
from edge.result import VERDICTS

# `unaccounted` numbers have no verdict, `set_aside` ones a row that nobody could read.
TOTALS = ("seq", "lost", "unaccounted", "set_aside", "clock_ms", *VERDICTS)
_ID = re.compile(r"[0-9a-f]{32}")


class OutboxTables:
    """An open outbox file.

    Args:
        path: of the file, made if absent.

    Attributes:
        is_new: the file was made just now.
        outbox_id: None in a file of a former version, or one that does not say.
        totals: by the names in `TOTALS`.
        stored_seq: the highest number that the file knows; behind `totals` while the disk is full.
        rows: results stored.
        bytes: of their payloads.
        clock: gives the ages of results.

    Raises:
        PublishError: the file belongs to something else.
        sqlite3.Error: the file is damaged, or the disk refuses.
    """

    def __init__(self, path: Path):
        self._db, layout = connect(path)
        self.is_new = layout == 0
        self.rows = self.bytes = 0
        self._has_begun = False
        self._is_former = layout == 1
        try:
            self._load()
        except BaseException:
            self._db.close()
            raise

    def _load(self) -> None:
        query = "SELECT CAST(name AS BLOB), value FROM totals WHERE typeof(value) = 'integer'"
        numbers = self._db.execute(query).fetchall()
        stored = {_text(name): number for name, number in numbers if 0 <= number < HIGHEST}
        self.totals: dict[str, int] = {name: stored.get(name, 0) for name in TOTALS}
        self.stored_seq = self.totals["seq"]
        query = "SELECT CAST(name AS BLOB), CAST(value AS BLOB) FROM facts"
        facts = {_text(name): _text(value) for name, value in self._db.execute(query)}
        found = facts.get("outbox_id", "")
        self.outbox_id = found if _ID.fullmatch(found) else None
        try:
            offset_s = float(facts.get("clock_offset_s", "0"))
        except ValueError:
            offset_s = 0.0
        boot, least_s = facts.get("boot", ""), self.totals["clock_ms"] / 1000
        offset_s = offset_s if math.isfinite(offset_s) else 0.0
        self.clock = OutboxClock(boot, offset_s, least_s)
        self._count()

    def begin(self, outbox_id: str, totals: Mapping[str, int]) -> None:
        """Note whose numbers these are, and set aside rows that cannot be results.

        On a full disk this is done with the first results that it takes again.
        """
        self.outbox_id = outbox_id
        changed = dict(totals)
        try:
            with self._transaction("FULL"):
                self._note_facts(changed)
                self._save(changed)
            self._has_begun, self.stored_seq = True, changed["seq"]
        except sqlite3.OperationalError as error:
            if self.is_new or "full" not in str(error):
                raise
            changed = dict(totals)
        self.totals = changed
        self._count()

    def _note_facts(self, totals: dict[str, int]) -> None:
        facts = {
            "outbox_id": str(self.outbox_id),
            "boot": self.clock.boot,
            "clock_offset_s": repr(self.clock.offset_s),
        }
        self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", list(facts.items()))
        now_s = self.clock.now()
        # The ages in a file of a former version were the wall clock's: they begin again.
        latest_s = -1.0 if self._is_former else now_s
        query = "UPDATE results SET created_s = ? WHERE NOT created_s BETWEEN 0 AND ?"
        self._db.execute(query, (now_s, latest_s))
        impossible = find_impossible(self._db, totals["seq"])
        move_aside(self._db, impossible, "impossible values")
        totals["set_aside"] += len(impossible)
        totals["lost"] += len(impossible)

    def store(
        self,
        results: Sequence[tuple[int, str]],
        totals: Mapping[str, int],
        limits: SpoolSettings,
    ) -> None:
        """Store results, given as number and JSON text, and the totals with them."""
        now_s, changed = self.clock.now(), dict(totals)
        sized = [(seq, now_s, len(text.encode()), text) for seq, text in results]
        with self._transaction("FULL"):
            if not self._has_begun:
                self._note_facts(changed)
            self._db.executemany("INSERT INTO results VALUES (?, ?, ?, ?)", sized)
            rows, size = self.rows + len(sized), self.bytes + sum(row[2] for row in sized)
            rows, size, dropped = self._trim(rows, size, now_s, limits)
            changed["lost"] += dropped
            self._save(changed)
        self.totals, self.rows, self.bytes = changed, rows, size
        self._has_begun, self.stored_seq = True, changed["seq"]

    def remove(self, seqs: Sequence[int], *, lost: bool) -> None:
        """Forget results, counted as lost or delivered."""
        marks = ",".join("?" * len(seqs))
        where, changed = f"FROM results WHERE seq IN ({marks})", dict(self.totals)
        with self._transaction("NORMAL"):
            count, size = self._db.execute(f"SELECT count(*), total(size) {where}", seqs).fetchone()
            self._db.execute(f"DELETE {where}", seqs)
            if lost:
                changed["lost"] += count
                self._save(changed)
        self.totals, self.rows, self.bytes = changed, self.rows - count, self.bytes - int(size)

    def set_aside(self, seq: int, reason: str) -> None:
        """Move a row that cannot be read out of the way; it counts as lost."""
        changed = dict(self.totals)
        with self._transaction("FULL"):
            move_aside(self._db, [seq], reason)
            changed["set_aside"] += 1
            changed["lost"] += 1
            self._save(changed)
        self.totals = changed
        self._count()

    def page(self, after_seq: int, limit: int, but: Collection[int]) -> list[Row]:
        """Return up to `limit` results beyond `after_seq`, without some; see `read_page`."""
        return read_page(self._db, after_seq, limit, but, self.clock.now())

    def oldest_age_s(self) -> float:
        """Return how long the oldest result has been waiting, 0 when there is none."""
        query = (
            "SELECT created_s FROM results WHERE typeof(created_s) = 'real' ORDER BY seq LIMIT 1"
        )
        row = self._db.execute(query).fetchone()
        return max(0.0, self.clock.now() - row[0]) if row else 0.0

    def free_bytes(self) -> int:
        """Return how much fits into the file without it growing."""
        (pages,) = self._db.execute("PRAGMA freelist_count").fetchone()
        return int(pages) * PAGE_BYTES

    def take_from(self, former: OutboxTables) -> None:
        """Copy what another outbox still holds."""
        with self._transaction("FULL"):
            rescue(former._db, self._db)
            self._db.execute("UPDATE results SET created_s = ?", (self.clock.now(),))
        self._count()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _count(self) -> None:
        query = "SELECT count(*), total(size) FROM results WHERE typeof(size) = 'integer'"
        rows, size = self._db.execute(query).fetchone()
        self.rows, self.bytes = int(rows), int(size)

    def _trim(
        self, rows: int, size: int, now_s: float, limits: SpoolSettings
    ) -> tuple[int, int, int]:
        """Drop what is beyond the limits; return rows, bytes and how many were dropped."""
        dropped, last = 0, 0
        query = (
            "SELECT seq, created_s, size FROM results "
            "WHERE typeof(created_s) = 'real' AND typeof(size) = 'integer' ORDER BY seq"
        )
        for seq, created_s, row_size in self._db.execute(query):
            is_old = created_s < now_s - limits.max_age_s
            if not (is_old or rows > limits.max_rows or size > limits.max_bytes):
                break
            rows, size, dropped, last = rows - 1, size - row_size, dropped + 1, seq
        if dropped:
            self._db.execute("DELETE FROM results WHERE seq <= ?", (last,))
        return rows, size, dropped

    def _save(self, totals: dict[str, int]) -> None:
        totals["clock_ms"] = max(totals["clock_ms"], int(1000 * self.clock.now()))
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


def _text(data: bytes | None) -> str:
    """Read text that anybody may have written."""
    return (data or b"").decode(errors="replace")
