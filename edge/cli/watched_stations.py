"""What edge-watch has seen of stations, as a live table or as lines."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edge.cli import console
from edge.cli.result_text import STYLES, clean, result_line, score_text, type_names
from edge.messages.message import Message
from edge.messages.payload_reader import read_payload
from edge.messages.result_verifier import ResultVerifier
from edge.messages.sequence_monitor import StationView, station_of
from edge.mqtt.topics import Topics
from edge.printable_text import escaped
from edge.result import VERDICTS

REFRESH_S = 0.25
MOST_STATIONS = 1000


@dataclass
class Watched:
    """The stations below a topic filter, and where their results are written.

    Attributes:
        topics: the filter.
        write: gets every result; None shows a live table.
        verifier: lets only results through that a station signed; None takes all.
    """

    topics: Topics
    write: Callable[[dict[str, Any]], None] | None
    verifier: ResultVerifier | None = None
    views: dict[tuple[str, str], StationView] = field(default_factory=dict)
    recent: deque[Text] = field(default_factory=lambda: deque(maxlen=8))
    notice: str = ""
    was_connected: bool = False
    _live: Live | None = None
    _drawn_s: float = 0.0

    @property
    def received(self) -> int:
        """Different results of all stations."""
        return sum(view.seqs.received for view in self.views.values())

    @property
    def has_stopped(self) -> bool:
        """Every station that was seen running has stopped, and there was one."""
        live = [view for view in self.views.values() if view.is_live or view.has_stopped]
        return bool(live) and all(view.has_stopped for view in live)

    def take(self, message: Message) -> None:
        """Take a message from the link."""
        names = self.topics.parse(message.topic)
        if names is None:
            return
        node, station, kind = names
        station = station or station_of(message.payload)
        if station is None or self.topics.station not in ("+", station):
            return
        if kind == "result" and self._is_false(message, node, station):
            return
        if len(self.views) >= MOST_STATIONS and (node, station) not in self.views:
            return  # names cost nothing, and nobody has as many stations
        view = self.views.setdefault((node, station), StationView(node, station))
        payload = view.take(kind, message.payload, is_stored=message.is_stored)
        if payload is not None:
            self.recent.append(result_line(payload))
            if self.write is not None:
                self.write(payload)

    def _is_false(self, message: Message, node: str, station: str) -> bool:
        """Tell, loudly, whether a result is not one that its station signed just now."""
        if self.verifier is None:
            return False
        try:
            payload = read_payload(message.payload)
        except ValueError as error:
            payload, problem = {}, self.verifier.unreadable(str(error))
        else:
            found = self.verifier.problem(payload, node, station)
            if found is None:
                return False
            problem = found
        seq, verdict = clean(payload.get("seq", "-")), clean(payload.get("result", "-"))
        line = (
            f"NOT VERIFIED {clean(node)}/{clean(station)} seq={seq} result={verdict}: "
            f"{escaped(problem)}"
        )
        self.recent.append(Text(line, style="bold white on red"))
        if self._live is None:
            print(line, file=sys.stderr, flush=True)
        return True

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show a live table while the context lasts, if results are not written out."""
        if self.write is not None:
            yield
            return
        with Live(self.table(), console=console.rich_console(), auto_refresh=False) as self._live:
            try:
                yield
            finally:  # what came since it was last drawn stands in the table that stays
                self._live.update(self.table(), refresh=True)

    def draw(self) -> None:
        """Renew the live table, four times a second at most."""
        if self._live is not None and time.monotonic() - self._drawn_s >= REFRESH_S:
            self._drawn_s = time.monotonic()
            self._live.update(self.table(), refresh=True)

    def table(self) -> Group:
        """Draw all stations, then the newest results."""
        table = Table(title=Text(f"{self.topics.prefix} {self.notice}".strip()), expand=True)
        for name in ("station", "state", "last", "score", "types", "pass/fail/undecided/error",
                     "p50/p95 ms", "parts/s", "missing/dup", "seen"):  # fmt: skip
            table.add_column(name)
        for _, view in sorted(self.views.items()):
            table.add_row(*_cells(view))
        return Group(table, *self.recent)

    def summarise(self) -> None:
        """Say on stderr what arrived of each station."""
        for view in self.views.values():
            seqs = view.seqs
            print(
                f"{clean(view.node)}/{clean(view.station)} received={seqs.received} "
                f"missing={seqs.missing} duplicates={seqs.duplicates} late={seqs.late} "
                f"lost={view.lost} invalid={view.invalid}",
                file=sys.stderr,
            )
        if self.verifier is not None:
            print(f"not verified={self.verifier.problems}", file=sys.stderr)


def _cells(view: StationView) -> list[Text | str]:
    last, seqs = view.last, view.seqs
    verdict = clean(last.get("result", "-"))
    alerts = f" !{','.join(view.alerts)}" if view.alerts else ""
    p50, p95 = view.latency_ms(0.5), view.latency_ms(0.95)
    return [
        Text(clean(view.station)),
        Text(clean(f"{view.presence} {view.state}{alerts}")),
        Text(verdict, style=STYLES.get(verdict, "")),
        Text(score_text(last)),
        Text(clean(",".join(type_names(last.get("defects"))) or "-")),
        Text("/".join(clean(view.counts.get(name, "-")) for name in VERDICTS)),
        "-" if p50 is None or p95 is None else f"{p50:.1f}/{p95:.1f}",
        f"{view.rate():.1f}",
        f"{seqs.missing}/{seqs.duplicates}",
        f"{time.monotonic() - view.last_seen_s:.0f} s ago",
    ]
