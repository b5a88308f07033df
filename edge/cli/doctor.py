"""edge-doctor: what this machine has and what is missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.console import make_app, rich_console, run, say, say_next, setup_logging
from edge.config.mqtt import MqttSettings, parse_broker
from edge.errors import ConfigError
from edge.paths import find_state_dir

if TYPE_CHECKING:
    from edge.diagnostics.cameras import DriverReport

EPILOG = """Examples:\n
  edge-doctor\n
  edge-doctor --mqtt mqtt://10.1.4.5:1883 --bundle bundles/pcb --json\n
  edge-doctor cameras
"""
MARKS = {"ok": "[green]ok[/]", "absent": "[yellow]absent[/]", "problem": "[red]problem[/]"}
app = make_app()


@app.callback(invoke_without_command=True, epilog=EPILOG)
def doctor(
    context: typer.Context,
    mqtt: Annotated[str | None, typer.Option(help="broker to try: mqtt://HOST:PORT")] = None,
    bundle: Annotated[Path | None, typer.Option(help="bundle to verify and load")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="folder of the outbox")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON list")] = False,
) -> None:
    """List engines, cameras, broker, versions and disk; exit 1 when something needed is wrong."""
    setup_logging("error")
    if context.invoked_subcommand is not None:
        if as_json or mqtt or bundle or state_dir:
            raise ConfigError("edge-doctor cameras: its options stand behind the word cameras")
        return
    from edge.diagnostics.doctor import examine

    broker = MqttSettings.model_validate(parse_broker(mqtt, "--mqtt")) if mqtt else None
    findings = list(examine(find_state_dir(state_dir), bundle, broker))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        from rich.markup import escape
        from rich.table import Table

        table = Table("subject", "", "detail", box=None)
        for finding in findings:
            table.add_row(escape(finding.subject), MARKS[finding.level], escape(finding.detail))
        rich_console().print(table)
        problems = [finding.subject for finding in findings if finding.level == "problem"]
        if problems:
            say(f"next: solve what is wrong with {', '.join(problems)}, then edge-doctor again")
        else:
            say_next("edge-doctor", "cameras")
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(1)


@app.command()
def cameras(
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON list")] = False,
    timeout_s: Annotated[
        float, typer.Option(min=1, max=600, help="seconds after which a search is ended")
    ] = 20.0,
) -> None:
    """List every camera that every driver finds: address to paste, formats, rates.

    Network cameras (rtsp://) are not searched. GenTL producers are those of the folders that
    GENICAM_GENTL64_PATH names.
    """
    from edge.diagnostics.cameras import search_all

    reports = list(search_all(timeout_s))
    if as_json:
        print(json.dumps([asdict(report) for report in reports]))
    else:
        _print_cameras(reports)
        found = [camera.address for report in reports for camera in report.cameras]
        if found:
            say_next("edge-grab", found[0])
        else:
            say("next: connect a camera or install its driver, then edge-doctor cameras again")
    if any(report.level == "problem" for report in reports):
        raise typer.Exit(1)


def _print_cameras(reports: Sequence[DriverReport]) -> None:
    from rich.markup import escape

    from edge.printable_text import escaped

    console = rich_console()

    def line(text: str) -> None:
        # An address has to come out in one piece, to be pasted.
        console.print(text, soft_wrap=True, highlight=False)

    for report in reports:
        detail = escape(escaped(report.detail))
        line(f"{report.purpose}: {MARKS[report.level]} {detail}")
        for camera in report.cameras:
            problem = f"  [red]{escape(escaped(camera.problem))}[/]" if camera.problem else ""
            line(f"  {escape(escaped(camera.address))}{problem}")
            line(f"    {escape(escaped(camera.name))}")
            for text in camera.formats:
                line(f"      {escape(escaped(text))}")


def main() -> None:
    """Entry point."""
    run(app)
