"""What a shift produced, by station: for people as a table, for spreadsheets as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import datetime, timezone

from edge.dashboard.history_queries import Bucket, HistoryQueries, ResultFilter
from edge.dashboard.station_numbers import reject_rate
from edge.result import VERDICTS

HOUR_MS = 3600 * 1000
# Longer reports have no hours.
MOST_HOURS = 48
# What spreadsheets take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class StationShift:
    """One station's parts of a shift.

    Attributes:
        node, station: its names.
        counts: parts by verdict.
        types: parts by defect type, the most frequent first.
        hours: parts by the hour, the first one first; empty for long spans.
    """

    node: str
    station: str
    counts: dict[str, int]
    types: list[tuple[str, int]]
    hours: list[Bucket]

    @property
    def parts(self) -> int:
        """All parts."""
        return sum(self.counts.values())

    @property
    def reject_rate(self) -> float | None:
        """Share of parts that did not pass, None without parts."""
        return reject_rate(self.counts)


def shift_report(
    history: HistoryQueries, stations: list[tuple[str, str]], since_ms: int, until_ms: int
) -> list[StationShift]:
    """Count the parts of stations from one moment to another."""
    rows = []
    for node, station in stations:
        wanted = ResultFilter(node=node, station=station, since_ms=since_ms, until_ms=until_ms)
        is_short = until_ms - since_ms <= MOST_HOURS * HOUR_MS
        hours = history.trend(wanted, HOUR_MS) if is_short else []
        totals, types = history.totals(wanted), history.pareto(wanted)
        rows.append(StationShift(node, station, totals, types, hours))
    return rows


def as_csv(rows: list[StationShift], since_ms: int, until_ms: int) -> str:
    """Write a report as CSV: one line for each station and kind of number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["node", "station", "from", "to", "kind", "name", "parts"])
    span = [_moment(since_ms), _moment(until_ms)]
    for row in rows:
        names = [_cell(row.node), _cell(row.station), *span]
        for verdict in VERDICTS:
            writer.writerow([*names, "verdict", verdict, row.counts[verdict]])
        for name, count in row.types:
            writer.writerow([*names, "type", _cell(name), count])
        for hour in row.hours:
            parts = sum(hour.counts.values())
            moment = _moment(hour.since_ms)
            writer.writerow([*names, "hour", moment, parts])
            writer.writerow([*names, "rejects of hour", moment, parts - hour.counts["pass"]])
    return out.getvalue()


def _moment(at_ms: int) -> str:
    moment = datetime.fromtimestamp(at_ms / 1000, timezone.utc)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _cell(text: str) -> str:
    """Keep a spreadsheet from taking a name for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
