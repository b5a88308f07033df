"""edge-doctor: what this machine has and what is missing."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edge.cli.console import make_app, rich_console, run, setup_logging
from edge.config.mqtt import MqttSettings, parse_broker
from edge.paths import find_state_dir

EPILOG = """Examples:\n
  edge-doctor\n
  edge-doctor --mqtt mqtt://10.1.4.5:1883 --bundle bundles/pcb --json
"""
MARKS = {"ok": "[green]ok[/]", "absent": "[yellow]absent[/]", "problem": "[red]problem[/]"}
app = make_app()


@app.command(epilog=EPILOG)
def doctor(
    mqtt: Annotated[str | None, typer.Option(help="broker to try: mqtt://HOST:PORT")] = None,
    bundle: Annotated[Path | None, typer.Option(help="bundle to verify and load")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="folder of the outbox")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON list")] = False,
) -> None:
    """List engines, cameras, broker, versions and disk; exit 1 when something needed is wrong."""
    setup_logging("error")
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
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(1)


def main() -> None:
    """Entry point."""
    run(app)
