"""What stands in the table of results: read with suspicion, for anybody may have written it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence

from edge.outputs.held_results import Row
from edge.outputs.outbox_file import MAX_ROW_BYTES
from edge.result import VERDICTS

Columns = tuple[int, object, str, bytes]  # the columns
_COLUMNS = "seq, created_s, typeof(payload), CAST(payload AS BLOB)"


class DamagedRowError(Exception):
    """A row is no result; `seq` is its number."""

    def __init__(self, seq: int, reason: str):
        super().__init__(reason)
        self.seq = seq


def read_page(
    db: sqlite3.Connection, after_seq: int, limit: int, but: Collection[int], now_s: float
) -> list[Row]:
    """Return up to `limit` results beyond `after_seq`, without the numbers in `but`.

    Raises:
        DamagedRowError: the first row that is no result; set it aside and read again.
        sqlite3.Error: the file cannot be read.
    """
    numbers = ",".join(str(seq) for seq in but)
    page = f"FROM results WHERE seq > ? AND seq NOT IN ({numbers}) ORDER BY seq LIMIT ?"
    try:
        found = db.execute(f"SELECT {_COLUMNS} {page}", (after_seq, limit)).fetchall()
    except sqlite3.DataError:  # one of them is larger than we let SQLite read
        seqs = [seq for (seq,) in db.execute(f"SELECT seq {page}", (after_seq, limit))]
        found = [_alone(db, seq) for seq in seqs]
    return [_checked(values, now_s) for values in found]


def _alone(db: sqlite3.Connection, seq: int) -> Columns:
    query = f"SELECT {_COLUMNS} FROM results WHERE seq = ?"  # noqa: S608 - our own names
    try:
        values: Columns = db.execute(query, (seq,)).fetchone()
    except sqlite3.DataError as error:
        raise DamagedRowError(seq, f"larger than {MAX_ROW_BYTES} bytes") from error
    return values


def _checked(found: Columns, now_s: float) -> Row:
    seq, created_s, kind, data = found
    if kind != "text" or not isinstance(created_s, float):
        raise DamagedRowError(seq, f"expected a time and text, found {created_s!r:.40} and {kind}")
    try:
        text = data.decode()
        payload = json.loads(text)
        is_result = payload["seq"] == seq and payload["result"] in VERDICTS
        is_named = all(isinstance(payload[name], str) for name in ("schema", "msg_id"))
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise DamagedRowError(seq, f"not a result: {type(error).__name__}") from error
    if not (is_result and is_named):
        raise DamagedRowError(seq, "not the result of this number")
    return Row(seq, text, max(0.0, now_s - created_s))


def find_impossible(db: sqlite3.Connection, last_seq: int) -> list[int]:
    """Return the numbers of rows that no version of ours can have written."""
    query = (
        "SELECT seq FROM results WHERE seq NOT BETWEEN 1 AND ? OR typeof(created_s) <> 'real' "
        "OR typeof(size) <> 'integer' OR size < 0 OR typeof(payload) <> 'text'"
    )
    return [seq for (seq,) in db.execute(query, (last_seq,))]


def move_aside(db: sqlite3.Connection, seqs: Sequence[int], reason: str) -> None:
    """Move rows out of the way, with their payload unless that is too large to copy."""
    for seq in seqs:
        insert = "INSERT INTO set_aside SELECT seq, {}, ? FROM results WHERE seq = ?"
        try:
            db.execute(insert.format("payload"), (reason, seq))
        except sqlite3.DataError:
            db.execute(insert.format("NULL"), (reason, seq))
        db.execute("DELETE FROM results WHERE seq = ?", (seq,))


def rescue(source: sqlite3.Connection, target: sqlite3.Connection) -> int:
    """Copy what can still be read of the results to another outbox; return how many."""
    query = "SELECT seq, created_s, size, payload FROM results ORDER BY seq"
    count = 0
    try:
        for values in source.execute(query):
            target.execute("INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?)", values)
            count += 1
    except sqlite3.Error:
        return count
    return count
