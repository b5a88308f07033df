"""edge-watch: see on a terminal, or in a pipe, what stations publish."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edge.cli import console
from edge.cli.broker import broker_settings
from edge.errors import PublishError
from edge.messages.identity import uuid7
from edge.messages.message import Message
from edge.messages.sequence_monitor import StationView, station_of
from edge.mqtt.link import Link
from edge.mqtt.topics import Topics
from edge.result import VERDICTS

KINDS = ("result", "status", "state", "counters", "alerts")
STYLES = {"pass": "green", "fail": "bold red", "undecided": "yellow", "error": "magenta"}
RETRY_S = 0.2
REFRESH_S = 0.25

app = console.make_app()


@app.command(
    epilog="Examples:\n\n"
    "edge-watch\n\n"
    "edge-watch --station st3-top --json --until-stopped > results.jsonl\n\n"
    "edge-watch mqtts://broker:8883 --tls-ca ca.pem --user-env USR --password-file pw.txt"
)
def watch(
    broker: Annotated[str, typer.Argument(help="mqtt://HOST:PORT or mqtts://HOST:PORT")] = (
        "mqtt://127.0.0.1:1883"
    ),
    prefix: Annotated[str, typer.Option(help="Topic prefix of the stations")] = "edge-infer/v1",
    node: Annotated[str, typer.Option(help="Only this device")] = "+",
    station: Annotated[str, typer.Option(help="Only this station")] = "+",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each result as one line of JSON")
    ] = False,
    until_stopped: Annotated[
        bool, typer.Option(help="End when the stations seen running have stopped")
    ] = False,
    max_results: Annotated[
        int | None, typer.Option(min=1, help="End after so many different results")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds to reach the broker; then exit code 6")
    ] = 10.0,
    user_env: Annotated[
        str | None, typer.Option(help="Environment variable with the user name")
    ] = None,
    password_env: Annotated[
        str | None, typer.Option(help="Environment variable with the password")
    ] = None,
    password_file: Annotated[Path | None, typer.Option(help="File with the password")] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="Certificate authority of the broker, PEM")
    ] = None,
) -> None:
    """Show what stations publish: a live table, or one line per result when piped.

    Exit codes: 0 done, 2 usage, 6 no broker, 130 Ctrl-C.
    """
    console.setup_logging("error")
    settings = broker_settings(
        broker,
        "BROKER",
        user_env=user_env,
        password_env=password_env,
        password_file=password_file,
        tls_ca_certs=tls_ca,
    )
    watched = Watched(Topics(prefix, node, station), _output(as_json=as_json))

    ctrl_c = CtrlC()

    def is_done() -> bool:
        enough = max_results is not None and watched.received >= max_results
        return enough or ctrl_c.was_pressed or (until_stopped and watched.has_stopped)

    link = Link(settings, f"edge-watch-{uuid7()[-12:]}", on_message=watched.take, resume=False)
    try:
        with watched.shown():
            follow(link, watched, is_done, timeout)
        ctrl_c.check()
    finally:
        link.close()
        watched.summarise()


def main() -> None:
    """Run the command."""
    console.run(app)


class CtrlC:
    """SIGINT as KeyboardInterrupt, and as a flag: callbacks of libraries can lose an exception."""

    def __init__(self) -> None:
        self.was_pressed = False
        signal.signal(signal.SIGINT, self._take)

    def check(self) -> None:
        """Raise KeyboardInterrupt if the one raised before went nowhere."""
        if self.was_pressed:
            raise KeyboardInterrupt

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self.was_pressed = True
        raise KeyboardInterrupt


@dataclass
class Watched:
    """The stations below a topic filter, and where their results are written."""

    topics: Topics
    write: Callable[[dict[str, Any]], None] | None
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
        view = self.views.setdefault((node, station), StationView(node, station))
        payload = view.take(kind, message.payload, is_stored=message.is_stored)
        if payload is not None:
            self.recent.append(result_line(payload))
            if self.write is not None:
                self.write(payload)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show a live table while the context lasts, if results are not written out."""
        if self.write is not None:
            yield
            return
        with Live(self.table(), console=Console(), auto_refresh=False) as self._live:
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
        table = Table(title=f"{self.topics.prefix} {self.notice}".strip(), expand=True)
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


def follow(link: Link, watched: Watched, is_done: Callable[[], bool], timeout_s: float) -> None:
    """Receive until done, and reconnect whenever the broker goes.

    Raises:
        PublishError: the broker was not reached within `timeout_s` of the start.
    """
    deadline = time.monotonic() + timeout_s
    while not is_done():
        problem = _receive(link, watched, is_done, deadline)
        if problem and problem != watched.notice and watched.write is not None:
            print(f"waiting: {problem}", file=sys.stderr)
        watched.notice = problem
        watched.draw()
        if problem:
            time.sleep(RETRY_S)


def _receive(link: Link, watched: Watched, is_done: Callable[[], bool], deadline: float) -> str:
    """Use one connection until done; return why it ended before that."""
    left_s = deadline - time.monotonic()
    try:
        link.connect(10.0 if watched.was_connected else max(0.5, left_s))
        link.subscribe([watched.topics.of(kind) for kind in KINDS])
        watched.was_connected, watched.notice = True, ""
        while not is_done():
            link.poll(0.2)
            watched.draw()
    except PublishError as error:
        if not watched.was_connected and time.monotonic() + RETRY_S > deadline:
            raise
        return str(error)
    return ""


def result_line(payload: dict[str, Any]) -> Text:
    """Write a result as one line for people; the payload is untrusted."""
    verdict = str(payload["result"])
    defects = payload.get("defects")
    types = ",".join(_types(defects)) or "-"
    text = Text(f"{clean(payload['times'].get('end', ''))} {clean(payload.get('station', ''))} ")
    text.append(f"{verdict.upper():9}", style=STYLES.get(verdict, ""))
    text.append(
        f" seq={clean(payload['seq'])} score={_score(payload)} types={clean(types)} "
        f"total_ms={clean(payload['times']['total_ms'])} reason={clean(payload.get('reason', ''))}"
    )
    if payload.get("is_replayed") is True:
        text.append(" replayed")
    return text


def clean(value: object) -> str:
    """Make text from the net safe for a terminal: no control characters, not endless."""
    return "".join(c if c.isprintable() else "?" for c in str(value))[:80]


def _cells(view: StationView) -> list[Text | str]:
    last, seqs = view.last, view.seqs
    verdict = str(last.get("result", "-"))
    alerts = f" !{','.join(view.alerts)}" if view.alerts else ""
    p50, p95 = view.latency_ms(0.5), view.latency_ms(0.95)
    return [
        Text(clean(view.station)),
        Text(clean(f"{view.presence} {view.state}{alerts}")),
        Text(verdict, style=STYLES.get(verdict, "")),
        Text(_score(last)),
        Text(clean(",".join(_types(last.get("defects"))) or "-")),
        "/".join(str(view.counts.get(name, "-")) for name in VERDICTS),
        "-" if p50 is None or p95 is None else f"{p50:.1f}/{p95:.1f}",
        f"{view.rate():.1f}",
        f"{seqs.missing}/{seqs.duplicates}",
        f"{time.monotonic() - view.last_seen_s:.0f} s ago",
    ]


def _score(payload: dict[str, Any]) -> str:
    return f"{clean(payload.get('score', '-'))}/{clean(payload.get('threshold', '-'))}"


def _types(defects: object) -> list[str]:
    if not isinstance(defects, list):
        return []
    return [str(defect.get("type")) for defect in defects if isinstance(defect, dict)]


def _output(*, as_json: bool) -> Callable[[dict[str, Any]], None] | None:
    """Return what writes a result, None for the live table."""
    if as_json:
        return lambda payload: print(json.dumps(payload), flush=True)  # ASCII: safe anywhere
    if sys.stdout.isatty():
        return None
    return lambda payload: print(result_line(payload).plain, flush=True)
