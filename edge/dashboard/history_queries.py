"""What the pages ask of the history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge.dashboard.history import read_stored
from edge.dashboard.history_file import HistoryFile
from edge.messages.payload import Payload
from edge.result import VERDICTS

MOST_ROWS = 500
# Scores that a histogram is made of; the newest ones.
MOST_SCORES = 20_000
_COLUMNS = """id, node, station, outbox_id, seq, at_ms, part_id, verdict, reason, score, threshold,
    types, total_ms, is_replayed, camera, frame_id, capture"""


@dataclass(frozen=True, slots=True)
class ResultFilter:
    """Which results; None means all.

    Attributes:
        node, station: of one station.
        since_ms, until_ms: from this moment on, and before that one, in milliseconds since 1970.
        verdicts: some of the four.
        type: a defect type that was found.
        part: the beginning of a part's id.
    """

    node: str | None = None
    station: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    verdicts: tuple[str, ...] = ()
    type: str | None = None
    part: str | None = None

    def condition(self) -> tuple[str, list[Any]]:
        """Return the WHERE clause and its values."""
        clauses: list[str] = ["1"]
        values: list[Any] = []
        for column, value in (("node", self.node), ("station", self.station)):
            if value is not None:
                clauses.append(f"{column} = ?")
                values.append(value)
        if self.since_ms is not None:
            clauses.append("at_ms >= ?")
            values.append(self.since_ms)
        if self.until_ms is not None:
            clauses.append("at_ms < ?")
            values.append(self.until_ms)
        if self.verdicts:
            clauses.append(f"verdict IN ({','.join('?' * len(self.verdicts))})")
            values += self.verdicts
        if self.type is not None:
            clauses.append("instr(char(10) || types || char(10), char(10) || ? || char(10)) > 0")
            values.append(self.type)
        if self.part:
            # A range and not LIKE: it uses the index, and a part's id may hold % and _.
            clauses.append("part_id >= ? AND part_id < ?")
            values += [self.part, f"{self.part}\U0010ffff"]
        return " AND ".join(clauses), values


@dataclass(frozen=True, slots=True)
class Bucket:
    """Results of one stretch of time.

    Attributes:
        since_ms: its beginning.
        counts: by verdict.
        score: mean of the scores, None without any.
        latency_ms: mean of capture to verdict, None without any.
    """

    since_ms: int
    counts: dict[str, int]
    score: float | None
    latency_ms: float | None


class HistoryQueries:
    """Reads the history; may be called from any thread."""

    def __init__(self, file: HistoryFile):
        self._file = file

    def results(
        self, wanted: ResultFilter, limit: int = 50, before: tuple[int, int] | None = None
    ) -> list[dict[str, Any]]:
        """Return rows, the newest first.

        `before` is (at_ms, id) of the last row of the page before.
        """
        clause, values = wanted.condition()
        if before is not None:
            clause += " AND (at_ms, id) < (?, ?)"
            values += before
        rows = self._file.reader.execute(
            f"SELECT {_COLUMNS} FROM results WHERE {clause} ORDER BY at_ms DESC, id DESC LIMIT ?",  # noqa: S608
            [*values, min(limit, MOST_ROWS)],
        )
        return [
            {**dict(row), "types": row["types"].split("\n") if row["types"] else []} for row in rows
        ]

    def result(self, row_id: int) -> Payload | None:
        """Return the payload of a result, as the station published it."""
        row = self._file.reader.execute(
            "SELECT payload FROM results WHERE id = ?", (row_id,)
        ).fetchone()
        return None if row is None else read_stored(row["payload"])

    def neighbours(self, row_id: int) -> tuple[int | None, int | None]:
        """Return the station's results right before and after one, None at the ends."""
        reader = self._file.reader
        row = reader.execute(
            "SELECT node, station, at_ms, id FROM results WHERE id = ?", (row_id,)
        ).fetchone()
        if row is None:
            return None, None
        here = (row["node"], row["station"], row["at_ms"], row["id"])
        found = [
            reader.execute(
                f"SELECT id FROM results WHERE node=? AND station=? AND (at_ms, id) {sign} (?, ?) "  # noqa: S608
                f"ORDER BY at_ms {order}, id {order} LIMIT 1",
                here,
            ).fetchone()
            for sign, order in (("<", "DESC"), (">", "ASC"))
        ]
        before, after = (None if each is None else int(each["id"]) for each in found)
        return before, after

    def nearest(self, node: str, station: str, at_ms: int) -> int | None:
        """Return the station's last result up to a moment, else its first one."""
        for sign, order in (("<=", "DESC"), (">", "ASC")):
            row = self._file.reader.execute(
                f"SELECT id FROM results WHERE node=? AND station=? AND at_ms {sign} ? "  # noqa: S608
                f"ORDER BY at_ms {order}, id {order} LIMIT 1",
                (node, station, at_ms),
            ).fetchone()
            if row is not None:
                return int(row["id"])
        return None

    def picture(
        self, node: str, station: str, camera: str, frame_id: int, capture: str,
        purpose: str = "thumbnail",
    ) -> tuple[bytes, bytes | None] | None:  # fmt: skip
        """Return a picture and the same with its heat map, as JPEG; None where there is none."""
        row = self._file.reader.execute(
            "SELECT jpeg, heat FROM pictures WHERE node=? AND station=? AND camera=? "
            "AND frame_id=? AND capture=? AND purpose=?",
            (node, station, camera, frame_id, capture, purpose),
        ).fetchone()
        return None if row is None else (row["jpeg"], row["heat"])

    def totals(self, wanted: ResultFilter) -> dict[str, int]:
        """Return how many results have each verdict."""
        clause, values = wanted.condition()
        rows = self._file.reader.execute(
            f"SELECT verdict, COUNT(*) AS n FROM results WHERE {clause} GROUP BY verdict",  # noqa: S608
            values,
        )
        return {**dict.fromkeys(VERDICTS, 0), **{row["verdict"]: row["n"] for row in rows}}

    def pareto(self, wanted: ResultFilter) -> list[tuple[str, int]]:
        """Return how many parts have each defect type, the most frequent first."""
        clause, values = wanted.condition()
        rows = self._file.reader.execute(
            f"SELECT types, COUNT(*) AS n FROM results WHERE {clause} AND types != '' "  # noqa: S608
            "GROUP BY types",
            values,
        )
        counts: dict[str, int] = {}
        for row in rows:
            for name in row["types"].split("\n"):
                counts[name] = counts.get(name, 0) + row["n"]
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))

    def scores(
        self, wanted: ResultFilter, *, as_multiples: bool = False
    ) -> list[tuple[str, float]]:
        """Return verdict and score of the newest results that have one.

        `as_multiples`: of the threshold that decided on each.
        """
        clause, values = wanted.condition()
        score = _score(as_multiples=as_multiples)
        rows = self._file.reader.execute(
            f"SELECT verdict, {score} AS score FROM results "  # noqa: S608
            f"WHERE {clause} AND {score} IS NOT NULL ORDER BY at_ms DESC LIMIT ?",
            [*values, MOST_SCORES],
        )
        return [(row["verdict"], row["score"]) for row in rows]

    def has_several_thresholds(self, wanted: ResultFilter) -> bool:
        """Whether views, types or commands had some of these results decided by another one."""
        clause, values = wanted.condition()
        rows = self._file.reader.execute(
            f"SELECT DISTINCT threshold FROM results WHERE {clause} "  # noqa: S608
            "AND score IS NOT NULL AND threshold IS NOT NULL LIMIT 2",
            values,
        )
        return len(rows.fetchall()) > 1

    def trend(
        self, wanted: ResultFilter, bucket_ms: int, *, as_multiples: bool = False
    ) -> list[Bucket]:
        """Return results by stretches of `bucket_ms`, the oldest first; empty ones are left out.

        `as_multiples`: scores, of the threshold that decided on each.
        """
        clause, values = wanted.condition()
        score = _score(as_multiples=as_multiples)
        rows = self._file.reader.execute(
            f"SELECT at_ms / ? AS bucket, verdict, COUNT(*) AS n, SUM({score}) AS score, "  # noqa: S608
            f"COUNT({score}) AS scored, SUM(total_ms) AS total_ms, COUNT(total_ms) AS timed "
            f"FROM results WHERE {clause} GROUP BY bucket, verdict ORDER BY bucket",
            [bucket_ms, *values],
        )
        found: dict[int, list[Any]] = {}
        for row in rows:
            found.setdefault(row["bucket"], []).append(row)
        return [
            Bucket(
                since_ms=bucket * bucket_ms,
                counts={
                    **dict.fromkeys(VERDICTS, 0),
                    **{row["verdict"]: row["n"] for row in group},
                },
                score=_mean(group, "score", "scored"),
                latency_ms=_mean(group, "total_ms", "timed"),
            )
            for bucket, group in found.items()
        ]

    def alerts(
        self, node: str | None, station: str | None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Return beginnings and ends of alerts, the newest first."""
        clause, values = ResultFilter(node=node, station=station).condition()
        rows = self._file.reader.execute(
            f"SELECT * FROM alerts WHERE {clause} ORDER BY at_ms DESC, id DESC LIMIT ?",  # noqa: S608
            [*values, min(limit, MOST_ROWS)],
        )
        return [dict(row) for row in rows]


def _score(*, as_multiples: bool) -> str:
    # No threshold, or one of 0, makes NULL: SQL divides by neither.
    return "score / NULLIF(threshold, 0)" if as_multiples else "score"


def _mean(group: list[Any], total: str, count: str) -> float | None:
    counted = sum(row[count] for row in group)
    return sum(row[total] or 0.0 for row in group) / counted if counted else None
