"""What a replay of archived frames changed, for people and as JSON."""

from __future__ import annotations

import json
from typing import Any

from rich.markup import escape
from rich.table import Table

from edge.cli.console import rich_console
from edge.cli.tables import STYLES

# More lines than this are for a program.
SHOWN = 50


def print_replay(report: dict[str, Any], *, as_json: bool) -> None:
    """Print the report of a `ReplayComparison` on standard output: one line, or tables."""
    if as_json:
        print(json.dumps(report), flush=True)
        return
    console = rich_console()
    console.print(_title(report))
    totals = Table()
    for name in ("verdict then", "now", "parts"):
        totals.add_column(name, justify="right" if name == "parts" else "left")
    for row in report["verdicts"]:
        totals.add_row(_verdict(row["was"]), _verdict(row["now"]), str(row["count"]))
    console.print(totals)
    changes = report["changes"]
    if changes:
        table = Table(title="changed", title_justify="left")
        for name in ("part", "taken", "then", "now", "score then", "score now"):
            table.add_column(name, justify="right" if "score" in name else "left")
        for change in changes[:SHOWN]:
            table.add_row(
                escape(change["part_id"]), change["captured_at"] or "-", _verdict(change["was"]),
                _verdict(change["now"]), _score(change["was_score"]), _score(change["now_score"]),
            )  # fmt: skip
        console.print(table)
        _more(report["changed"], "changes")
    for fault in report["damaged_frames"][:SHOWN]:
        console.print(escape(f"not compared: {fault}"))
    _more(report["damaged"], "damaged frames")


def _title(report: dict[str, Any]) -> str:
    title = f"{report['compared']} archived frames judged again: {report['changed']} changed"
    return title + (f", {report['damaged']} damaged" if report["damaged"] else "")


def _more(count: int, what: str) -> None:
    if count > SHOWN:
        rich_console().print(f"and {count - SHOWN} more {what}; --json lists them")


def _verdict(name: str) -> str:
    return f"[{STYLES.get(name, 'default')}]{escape(name)}[/]"


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
