"""The ids of commands that change something, on disk for as long as each could be sent again.

Without it whoever recorded a `stop` could repeat it after a restart. An id is on the disk before
its command is carried out. A file that is damaged or gone cannot tell an old command from a new
one: then commands that were issued before this start are not taken.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, cast

from edge.config.station import CommandSettings
from edge.messages.command import Answer, Code, Status
from edge.private_file import open_private

log = logging.getLogger(__name__)
LAYOUT = 1
CAPACITY = 10_000
INTERRUPTED = Answer("failed", "interrupted", "the station ended before the command was done")
_TABLE = """CREATE TABLE commands (cmd_id TEXT PRIMARY KEY, name TEXT NOT NULL,
            until_s REAL NOT NULL, status TEXT NOT NULL, code TEXT NOT NULL,
            message TEXT NOT NULL) WITHOUT ROWID"""


class Taken(NamedTuple):
    """A command that was taken: its name, when its lifetime ends (s since 1970), its answer."""

    name: str
    until_s: float
    answer: Answer


class ReplayMemory:
    """Remembers commands by id; used under the dispatcher's lock.

    It holds `CAPACITY` ids. Where more are within their lifetime, further commands are refused.

    Args:
        path: the file, made if absent; its folder too.
        is_expected: the station ran before, so that an absent file was removed.
        limits: lifetime of commands and tolerance of clocks.
        on_problem: gets one line for people when the file cannot be relied on.

    Attributes:
        unproven_until_s: commands issued before (s since 1970) cannot be proven new.
    """

    def __init__(
        self,
        path: Path,
        *,
        is_expected: bool,
        limits: CommandSettings,
        on_problem: Callable[[str], None] = lambda _: None,
    ):
        self.path = path
        self.unproven_until_s = 0.0
        self._limits = limits
        self._on_problem = on_problem
        self._known: dict[str, Taken] = {}
        self._db: sqlite3.Connection | None = None
        was_there = path.exists() or path.is_symlink()
        try:
            self._open()
        except (OSError, sqlite3.Error, ValueError) as error:
            self._start_anew(f"cannot be read: {_reason(error)}")
        else:
            if is_expected and not was_there:
                self._distrust("is gone")

    def recall(self, cmd_id: str) -> Taken | None:
        """Return what was answered to a command, None for an id that is not known."""
        return self._known.get(cmd_id)

    def begin(self, cmd_id: str, name: str, until_s: float, answer: Answer = INTERRUPTED) -> bool:
        """Note a command before it is carried out; False when there is no room for it.

        `answer` is what it gets after a restart, unless `settle` gives another.
        """
        if len(self._known) >= CAPACITY and not self._make_room():
            return False
        self._known[cmd_id] = taken = Taken(name, until_s, answer)
        self._store(cmd_id, taken, "FULL")
        return True

    def settle(self, cmd_id: str, answer: Answer) -> None:
        """Note the answer; a power cut may undo this, never `begin`."""
        known = self._known.get(cmd_id)
        if known is not None and known.answer != answer:
            self._known[cmd_id] = taken = known._replace(answer=answer)
            if answer.status != "accepted":  # else a restart interrupts it
                self._store(cmd_id, taken, "NORMAL")

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        os.close(open_private(self.path, os.O_RDWR))  # SQLite would follow a link
        self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        ((verdict,),) = self._db.execute("PRAGMA quick_check(1)").fetchall()
        if verdict != "ok":
            raise ValueError(verdict)
        ((layout,),) = self._db.execute("PRAGMA user_version").fetchall()
        ((tables,),) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchall()
        if layout == 0 and tables == 0:
            self._db.execute(_TABLE)
            self._db.execute(f"PRAGMA user_version = {LAYOUT}")
        elif layout != LAYOUT:
            raise ValueError(f"expected layout {LAYOUT}, found {layout}")
        rows = self._db.execute("SELECT cmd_id, name, until_s, status, code, message FROM commands")
        for cmd_id, name, until_s, status, code, message in rows:
            if not all(isinstance(text, str) for text in (cmd_id, name, status, code, message)):
                raise ValueError("expected text in every row")
            answer = Answer(cast("Status", status), cast("Code", code), message)
            self._known[cmd_id] = Taken(name, float(until_s), answer)

    def _start_anew(self, problem: str) -> None:
        """Put the file away and begin another one, or do without where that fails."""
        self.close()
        self._known.clear()
        self._remove()
        try:
            self._open()
        except (OSError, sqlite3.Error, ValueError) as error:
            self.close()
            problem = f"{problem}; a new one cannot be written: {_reason(error)}"
        self._distrust(problem)

    def _distrust(self, problem: str) -> None:
        """Take no command that may be an old one: the sender's clock may be ahead, too."""
        self.unproven_until_s = time.time() + self._limits.clock_tolerance_s
        self._tell(f"{problem}; commands issued before this start are not taken")

    def _store(self, cmd_id: str, taken: Taken, synchronous: str) -> None:
        if self._db is None:
            return
        row = (cmd_id, taken.name, taken.until_s, *_words(taken.answer))
        try:
            self._db.execute(f"PRAGMA synchronous = {synchronous}")
            self._db.execute("INSERT OR REPLACE INTO commands VALUES (?, ?, ?, ?, ?, ?)", row)
        except (OSError, sqlite3.Error) as error:
            # A full disk must not keep a line from being stopped. Removing needs no room, and the
            # next start then knows that ids are missing.
            self.close()
            self._remove()
            self._tell(f"cannot be written: {_reason(error)}; ids are kept until the next start")

    def _make_room(self) -> bool:
        """Forget what cannot be repeated any more, or was not due for a long time."""
        low_s = time.time()
        high_s = low_s + self._limits.max_lifetime_s + self._limits.clock_tolerance_s
        self._known = {
            cmd_id: taken
            for cmd_id, taken in self._known.items()
            if low_s <= taken.until_s <= high_s
        }
        if self._db is not None:
            with suppress(sqlite3.Error):  # else they come back at the next start, and go then
                query = "DELETE FROM commands WHERE until_s < ? OR until_s > ?"
                self._db.execute(query, (low_s, high_s))
        return len(self._known) < CAPACITY

    def _remove(self) -> None:
        """Keep a damaged file beside for who wants to look at it; never follow a link."""
        with suppress(OSError):
            if self.path.is_symlink():
                self.path.unlink()
            else:
                self.path.replace(self.path.with_name(f"{self.path.name}.damaged"))
        for suffix in ("-wal", "-shm", "-journal"):
            with suppress(OSError):
                self.path.with_name(f"{self.path.name}{suffix}").unlink(missing_ok=True)

    def _tell(self, problem: str) -> None:
        line = f"record of commands {self.path} {problem}"
        log.error(line)
        self._on_problem(line)


def replay_memory_path(folder: Path, node: str, station: str) -> Path:
    """Return where a station's record of commands lies below the state folder."""
    return folder / f"{node}.{station}.commands.db"


def _words(answer: Answer) -> tuple[str, str, str]:
    return answer.status, answer.code, answer.message


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split())
