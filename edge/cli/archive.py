"""edge-archive: what a station's raw archive is good for besides replay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edge.cli.console import make_app, run, say

SHOWN = 20
EPILOG = """Examples:\n
  edge-archive export /var/lib/edge-infer/pictures --out parts --verdict pass --since 2026-05-01\n
  edge-archive export /var/lib/edge-infer/pictures --out rejects --verdict fail --link\n
"""
app = make_app()


@app.callback(epilog=EPILOG)
def archive() -> None:
    """Use the raw frames that a station has kept (archive.raw in the station file).

    To judge them again: edge-infer STATION --camera replay://ARCHIVE.
    """


@app.command(epilog=EPILOG)
def export(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(metavar="SET", help="data set to write; new or empty", show_default=False),
    ],
    verdict: Annotated[
        str, typer.Option(help="which frames, by what was said of them; commas between several")
    ] = "pass,fail",
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="2026-05-01 or 2026-05-01T06:00, UTC")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="before this moment")] = None,
    link: Annotated[bool, typer.Option("--link", help="link pictures instead of copying")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the counts as JSON")] = False,
) -> None:
    """Write frames as a data set for edge-train and edge-eval: train/good and test/TYPE.

    A label is the truth where it is known, else the station's verdict: look at such pictures before
    you learn or measure with them. Exit codes: 0 done, 2 usage, 8 the disk, 10 nothing to export.
    """
    from edge.archive.layout import frames_between, parse_moment, parse_verdicts
    from edge.data.archive_export import export_frames
    from edge.errors import DataError

    try:
        verdicts = parse_verdicts(verdict)
        moments = [parse_moment(text) if text is not None else None for text in (since, until)]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not archive.is_dir():
        raise DataError(f"{archive}: no such folder; give the archive.path of a station")
    frames = frames_between(archive, since=moments[0], until=moments[1], verdicts=verdicts)
    done = export_frames(frames, out, link=link)
    if as_json:
        found = {
            "counts": dict(sorted(done.counts.items())),
            "by_verdict": done.by_verdict,
            "unlabelled": done.unlabelled,
            "damaged": done.damaged,
        }
        print(json.dumps(found), flush=True)
        return
    for folder, count in sorted(done.counts.items()):
        say(f"{out}/{folder}: {count} pictures")
    if done.by_verdict:
        say(f"{done.by_verdict} labels are the station's own verdicts: look at these pictures")
    if done.unlabelled:
        say(f"left out: {done.unlabelled} undecided or in error, whose truth is not known")
    for line in done.damaged[:SHOWN]:
        say(f"left out: {line}")
    if len(done.damaged) > SHOWN:
        say(f"left out: {len(done.damaged) - SHOWN} more damaged frames; --json lists them")


def main() -> None:
    """Entry point."""
    run(app)
