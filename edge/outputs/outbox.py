"""Results on disk from the decision to the broker's acknowledgement, and the numbers they carry.

One SQLite file per station, in WAL mode with synchronous=FULL: when `append` returns, its results
survive a power cut. That costs one flush of the disk per call (2 ms measured on a virtual disk,
more on flash cards), which is why `OutboxWriter` commits everything that waits at once. Removing
is not flushed: a removal that a power cut undoes only sends a result twice.

Numbers are given out before anything is stored, and kept in a second place (`Numbers`): what the
file forgets, loses or never gets shows as a gap.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from edge.config.mqtt import SpoolSettings
from edge.errors import PublishError
from edge.messages.identity import uuid7
from edge.messages.payload import Payload, encode
from edge.outputs.held_results import HeldResults, Row
from edge.outputs.number_mark import MEMORY_DIR
from edge.outputs.outbox_file import (
    FULL,
    MAX_ROW_BYTES,
    claim,
    has_room,
    is_damage,
    outbox_path,
    problem,
)  # fmt: skip
from edge.outputs.outbox_opening import open_outbox, replace_tables
from edge.outputs.outbox_rows import DamagedRowError
from edge.result import VERDICTS

__all__ = ["Outbox", "Row", "outbox_path"]
log = logging.getLogger(__name__)


class Outbox:
    """Numbers, counts and keeps results; safe to use from several threads, not processes.

    Args:
        path: the file, made if absent; its folder too. A damaged one is set aside.
        limits: rows, payload bytes and age; beyond them the oldest results are dropped and counted.
        keep: False numbers and counts but stores no result, for stations without a broker.
        memory_dir: a file system in memory, which outlives the process.

    Attributes:
        continuity: how numbering went on.
        on_break: called when it has changed.
        on_held: called when results wait in memory for delivery.
        problem: why the disk takes no results at present; empty while it does.

    Raises:
        PublishError: the file cannot be used, or another process uses it.
    """

    def __init__(
        self,
        path: Path,
        limits: SpoolSettings,
        *,
        keep: bool = True,
        memory_dir: Path = MEMORY_DIR,
    ):
        self.path = path
        self.on_break: Callable[[], None] = lambda: None
        self.on_held: Callable[[], None] = lambda: None
        self.problem = ""
        self._limits = limits
        self._keep = keep
        self._lock = threading.Lock()
        self._held = HeldResults()
        self._unreadable: set[int] = set()  # rows that could not be set aside either
        self._claim = claim(path)
        try:
            self._tables, self._numbers, self.continuity = open_outbox(path, memory_dir)
        except (sqlite3.Error, OSError) as error:
            self._claim.close()
            raise problem(path, error) from error
        except BaseException:
            self._claim.close()
            raise
        self._inode = path.stat().st_ino

    def number(self, payload: Payload) -> Payload:
        """Give a decision its `seq` and `msg_id`; waits for no disk."""
        return {
            "schema": payload["schema"],
            "msg_id": uuid7(),
            "seq": self._numbers.take(),
            "outbox_id": self.outbox_id,
            **payload,
        }

    def append(
        self,
        payloads: Sequence[Payload],
        *,
        settled: Mapping[str, int] | None = None,
        lost: Mapping[str, int] | None = None,
    ) -> list[Payload]:
        """Store decisions in one transaction; return them numbered.

        Args:
            payloads: from `result_payload`, in the order of the decisions; those that have no
                number yet get one.
            settled: numbered decisions before these, by verdict, that `settle` has taken.
            lost: numbered decisions before these, by verdict, that were dropped.

        Raises:
            PublishError: nothing was stored; `hold` the results and call again.
        """
        settled, lost = settled or {}, lost or {}
        with self._lock, self._guarded():
            self._check_file()
            numbered = [p if "seq" in p else self.number(p) for p in payloads]
            count = len(numbered) + sum(settled.values()) + sum(lost.values())
            totals = dict(self._tables.totals)
            last = numbered[-1]["seq"] if numbered else totals["seq"] + count
            totals["unaccounted"] += last - totals["seq"] - count
            totals["lost"] += last - totals["seq"] - count + sum(lost.values())
            totals["lost"] += self._held.refused
            totals["seq"] = last
            for verdict in VERDICTS:
                totals[verdict] += settled.get(verdict, 0) + lost.get(verdict, 0)
            for payload in numbered:
                totals[payload["result"]] += 1
            texts = self._texts(numbered, totals) if self._keep else []
            size = sum(len(text) for _, text in texts)
            if not has_room(self.path, size, self._tables.free_bytes):
                raise PublishError(f"outbox {self.path}: {FULL}")
            self._tables.store(texts, totals, self._limits)
            self._held.clear()
            self.problem = ""
        self._numbers.note(stored=last, safe=last, waiting=self._tables.rows)
        return numbered

    def _texts(self, numbered: Sequence[Payload], totals: dict[str, int]) -> list[tuple[int, str]]:
        texts = []
        for payload in numbered:
            if self._held.is_settled(payload["seq"]):
                continue
            text = encode(payload)
            if len(text) <= MAX_ROW_BYTES // 4:  # characters of up to four bytes
                texts.append((payload["seq"], text))
            else:
                log.error("result lost seq=%d: larger than any broker takes", payload["seq"])
                totals["lost"] += 1
        return texts

    def hold(self, numbered: Sequence[Payload], reason: str) -> None:
        """Keep numbered results for delivery from memory, and only these, for `reason`."""
        if self._keep:
            self._held.hold(numbered)
        self.problem = reason
        stored = self._tables.stored_seq
        before = numbered[0]["seq"] - 1 if numbered else stored
        are_delivered = self._held.gone == before - stored and not self._held.refused
        safe = before if are_delivered else stored
        self._numbers.note(stored=stored, safe=safe, waiting=self._tables.rows)
        self.on_held()

    def is_settled(self, seq: int) -> bool:
        """Tell whether a held result needs the disk no more; waits for nothing."""
        return self._held.is_settled(seq)

    def pending(self, after_seq: int, limit: int) -> list[Row]:
        """Return up to `limit` results beyond `after_seq`, oldest first, from disk and memory."""
        with self._lock, self._guarded():
            rows = self._read(after_seq, limit)
            return (rows + self._held.after(after_seq, limit))[:limit]

    def _read(self, after_seq: int, limit: int) -> list[Row]:
        while True:
            try:
                return self._tables.page(after_seq, limit, self._unreadable)
            except DamagedRowError as error:  # noqa: PERF203 - as often as there are such rows
                self._set_aside(error)

    def _set_aside(self, row: DamagedRowError) -> None:
        log.error("row set aside seq=%d: %s", row.seq, row)
        try:
            self._tables.set_aside(row.seq, str(row))
        except sqlite3.Error:  # a full disk: it is read no more in this run
            self._unreadable.add(row.seq)

    def remove(self, seqs: Sequence[int], *, lost: bool = False) -> None:
        """Forget delivered results, or (`lost`) count results that can never be delivered."""
        seqs = self.settle(seqs, lost=lost)
        if seqs:
            with self._lock, self._guarded():
                self._tables.remove(seqs, lost=lost)

    def settle(self, seqs: Sequence[int], *, lost: bool = False) -> list[int]:
        """Do what `remove` does for results in memory; return the others, which need the disk."""
        return self._held.settle(seqs, lost=lost)

    @property
    def outbox_id(self) -> str:
        """Which outbox the numbers belong to; another one has another."""
        return self.continuity.outbox_id

    @property
    def depth(self) -> int:
        """Results stored, or held in memory for delivery."""
        return self._tables.rows + len(self._held)

    @property
    def bytes(self) -> int:
        """Bytes of the payloads; the file itself keeps its largest size."""
        return self._tables.bytes + self._held.bytes

    @property
    def last_seq(self) -> int:
        """The highest number of a result that was stored or is held, 0 before the first."""
        return max(self._tables.totals["seq"], self._held.last_seq)

    @property
    def lost(self) -> int:
        """Decisions that were dropped undelivered since the file was made, at most."""
        return self._tables.totals["lost"] + self._held.refused

    @property
    def unaccounted(self) -> int:
        """Numbers that have no verdict in `counts`."""
        return self._tables.totals["unaccounted"]

    @property
    def set_aside(self) -> int:
        """Rows that were no results, and were moved out of the way."""
        return self._tables.totals["set_aside"] + len(self._unreadable)

    @property
    def unreserved(self) -> str:
        """Why numbers cannot be reserved on the disk; empty while they can."""
        return self._numbers.problem

    @property
    def counts(self) -> dict[str, int]:
        """Stored decisions by verdict since the file was made."""
        totals = self._tables.totals
        return {verdict: totals[verdict] for verdict in VERDICTS}

    def oldest_age_s(self) -> float:
        """Return the age of the oldest stored result, 0 when there is none."""
        with self._lock, self._guarded():
            return self._tables.oldest_age_s()

    @property
    def unstored(self) -> int:
        """Decisions that have a number and were neither stored nor delivered."""
        gone = self._held.settled - self._held.refused
        return self._numbers.given - int(self._tables.totals["seq"]) - gone

    def close(self) -> None:
        """Close the file, give back unused numbers, and let another process have it."""
        with self._lock:
            if self._claim.closed:
                return
            stored, waiting = self._tables.stored_seq, self._tables.rows
            lost = self.unstored
            if stored < self.continuity.given:  # the disk was full from the start
                lost += self.continuity.lost
            self._numbers.close(stored=stored, waiting=waiting, lost=lost)
            self._tables.close()
            self._claim.close()

    def _check_file(self) -> None:
        """Notice that somebody removed or replaced the file, which SQLite does not."""
        try:
            is_ours = self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            is_ours = False
        if not is_ours:
            self._start_over()

    def _start_over(self) -> None:
        self._tables, happened = replace_tables(self.path, self._tables)
        self._inode = self.path.stat().st_ino
        self.continuity = replace(self.continuity, broken=happened)
        log.error("outbox %s: %s", self.path, happened)
        self.on_break()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Translate errors; a file that turns out to be damaged is replaced."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if is_damage(error):
                with suppress(sqlite3.Error, OSError, PublishError):  # tried again by the next use
                    self._start_over()
            raise problem(self.path, error) from error
