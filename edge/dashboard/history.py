"""What is kept of results, pictures and alerts, and for how long. Payloads are untrusted."""

from __future__ import annotations

import base64
import binascii
import json
import sqlite3
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from edge.dashboard.history_file import HistoryFile
from edge.dashboard.settings import RetentionSettings
from edge.messages.payload import Payload
from edge.result import VERDICTS

# Rows that one step of pruning removes, so that writing never waits for long.
PRUNED_AT_ONCE = 2000
# What reading a payload of any shape can raise.
WRONG_SHAPE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, sqlite3.Error)


class Kept(NamedTuple):
    """A result as the history has it; `is_new` is false for a repetition."""

    id: int
    is_new: bool


class History:
    """Writes what the plant publishes; queries are in `history_queries`.

    Args:
        file: where.
        retention: for how long.
    """

    def __init__(self, file: HistoryFile, retention: RetentionSettings):
        self._file = file
        self._retention = retention

    def add_results(self, payloads: Sequence[Payload]) -> list[Kept]:
        """Keep results; one that is there already stays as it is.

        Raises:
            ValueError: a payload is no result; none of them is kept.
        """
        try:
            rows = [_result_row(payload) for payload in payloads]
        except WRONG_SHAPE as error:
            raise ValueError(f"no result: {error}") from error
        kept = []
        with self._file.writing() as db:
            for row in rows:
                found = db.execute(
                    "SELECT id FROM results WHERE node=? AND station=? AND outbox_id=? AND seq=?",
                    row[:4],
                ).fetchone()
                if found is not None:
                    kept.append(Kept(found[0], is_new=False))
                    continue
                marks = ",".join("?" * len(row))
                cursor = db.execute(f"INSERT INTO results VALUES (NULL,{marks})", row)  # noqa: S608
                kept.append(Kept(int(cursor.lastrowid or 0), is_new=True))
        return kept

    def add_picture(self, payload: Payload) -> None:
        """Keep a picture; a newer one of the same frame and purpose replaces it.

        Raises:
            ValueError: it is no picture.
        """
        try:
            row = _picture_row(payload)
        except (*WRONG_SHAPE, binascii.Error) as error:
            raise ValueError(f"no picture: {error}") from error
        with self._file.writing() as db:
            marks = ",".join("?" * len(row))
            db.execute(f"INSERT OR REPLACE INTO pictures VALUES (NULL,{marks})", row)  # noqa: S608

    def add_alert(self, payload: Payload) -> None:
        """Keep the beginning or the end of an alert.

        Raises:
            ValueError: it is no alert.
        """
        try:
            names = ("node", "station", "ts", "code", "severity", "state", "detail")
            node, station, ts, *texts = (_text(payload[name]) for name in names)
            row = (node, station, milliseconds(ts), *texts)
        except WRONG_SHAPE as error:
            raise ValueError(f"no alert: {error}") from error
        with self._file.writing() as db:
            db.execute("INSERT INTO alerts VALUES (NULL,?,?,?,?,?,?,?)", row)

    def prune(self, now_ms: int) -> int:
        """Remove some of what is beyond the limits; return how many rows."""
        limits = self._retention
        oldest_ms = now_ms - int(limits.max_age_s * 1000)
        removed = 0
        with self._file.writing() as db:
            for table in ("results", "pictures", "alerts"):
                removed += db.execute(
                    f"DELETE FROM {table} WHERE id IN "  # noqa: S608
                    f"(SELECT id FROM {table} WHERE at_ms < ? LIMIT {PRUNED_AT_ONCE})",
                    (oldest_ms,),
                ).rowcount
            (count,) = db.execute("SELECT COUNT(*) FROM results").fetchone()
            if count > limits.max_results:
                removed += _remove_oldest(db, "results", count - limits.max_results)
            (size,) = db.execute("SELECT COALESCE(SUM(bytes), 0) FROM pictures").fetchone()
            if size > limits.max_picture_bytes:
                (pictures,) = db.execute("SELECT COUNT(*) FROM pictures").fetchone()
                share = (size - limits.max_picture_bytes) / size
                removed += _remove_oldest(db, "pictures", 1 + int(pictures * share))
        with self._file.writing() as db:
            db.execute("PRAGMA incremental_vacuum(2000)")
        return removed


def read_stored(data: bytes) -> Payload:
    """Return the payload of a row of results."""
    payload: Payload = json.loads(zlib.decompress(data))
    return payload


def milliseconds(moment: str) -> int:
    """Return an RFC 3339 moment as milliseconds since 1970.

    Raises:
        ValueError: it is none, or without a zone.
    """
    found = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    if found.tzinfo is None:
        raise ValueError(f"expected a moment with a zone, got {moment}")
    return round(found.timestamp() * 1000)


def _remove_oldest(db: sqlite3.Connection, table: str, count: int) -> int:
    return db.execute(
        f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} ORDER BY at_ms LIMIT ?)",  # noqa: S608
        (min(count, PRUNED_AT_ONCE),),
    ).rowcount


def _result_row(payload: Payload) -> tuple[Any, ...]:
    part, views, times = payload.get("part") or {}, payload["views"], payload["times"]
    verdict = payload["result"]
    if verdict not in VERDICTS:
        raise ValueError(f"result: {verdict!r}")
    deciding = next((v for v in views if v["name"] == payload.get("view")), views[0])
    types = sorted({_text(each["type"]) for each in payload["defects"] if not each.get("vetoed")})
    return (
        _text(payload["node"]),
        _text(payload["station"]),
        _text(payload.get("outbox_id", "")),
        _whole(payload["seq"]),
        _text(payload["msg_id"]),
        milliseconds(times["end"]),
        None if part.get("id") is None else _text(part["id"]),
        verdict,
        _text(payload["reason"]),
        _number(payload.get("score")),
        _number(payload.get("threshold")),
        "\n".join(types),
        _number(times.get("total_ms")),
        int(payload["is_replayed"] is True),
        _text(deciding["camera"]),
        _whole(deciding["frame_id"]),
        _text(deciding.get("capture", times["capture"])),
        zlib.compress(json.dumps(payload, separators=(",", ":")).encode(), 3),
    )


def _picture_row(payload: Payload) -> tuple[Any, ...]:
    jpeg = base64.b64decode(payload["jpeg"], validate=True)
    heat = payload.get("heat")
    heat = None if heat is None else base64.b64decode(heat, validate=True)
    if not all(data.startswith(b"\xff\xd8\xff") for data in (jpeg, heat) if data is not None):
        raise ValueError("expected JPEG")
    if payload["purpose"] not in ("thumbnail", "view", "raw"):
        raise ValueError(f"purpose: {payload['purpose']!r}")
    return (
        _text(payload["node"]),
        _text(payload["station"]),
        _text(payload["camera"]),
        _whole(payload["frame_id"]),
        _text(payload["capture"]),
        payload["purpose"],
        milliseconds(payload["ts"]),
        len(jpeg) + len(heat or b""),
        jpeg,
        heat,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 1000:
        raise ValueError(f"expected a short text, got {str(value)[:60]!r}")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"expected a whole number, got {str(value)[:60]!r}")
    return value


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float):
        raise ValueError(f"expected a number, got {str(value)[:60]!r}")
    return float(value)
