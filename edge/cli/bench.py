"""edge-bench: how fast a bundle is on this machine, stage by stage, on every available engine."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.console import make_app, rich_console, run, setup_logging
from edge.config.station import Spin

if TYPE_CHECKING:
    from edge.bundle.store import Bundle
    from edge.diagnostics.stage_timing import Measured

EPILOG = """Examples:\n
  edge-bench bundles/pcb\n
  edge-bench bundles/pcb --size 1280x1024 --rounds 50 --json > bench.json\n
  edge-bench bundles/pcb --engines /var/cache/edge-infer/engines --threads 4
"""
TITLES = {
    "decode": "decode",
    "shrink": "  of which shrink",
    "preprocess": "pre-processing",
    "infer": "inference",
    "postprocess": "post-processing",
    "verdict": "frame to verdict",
    "bare": "engine alone",
}
ORDER = ("decode", "preprocess", "shrink", "infer", "postprocess", "verdict", "bare")
app = make_app()


@app.command(epilog=EPILOG)
def bench(
    bundle: Annotated[Path, typer.Argument(help="bundle folder", show_default=False)],
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTHxHEIGHT",
            help="frame size; default the golden pictures'",
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="over all golden pictures")] = 20,
    threads: Annotated[int, typer.Option(min=0, help="of CPU engines; 0 = physical cores")] = 0,
    spin: Annotated[Spin, typer.Option(help="as engine.spin of a station file")] = "brief",
    engines: Annotated[
        Path | None,
        typer.Option(help="folder of built engines; default where stations look"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Inspect the golden pictures repeatedly and report latency and throughput.

    Stages are decoding, pre-processing, inference and post-processing, then frame to verdict and
    the engine alone. Engines alternate, so that a busy machine slows all of them alike.
    Engines that have not passed the parity check on this device are marked; stations refuse them.
    """
    setup_logging("warning")
    from edge.bundle.store import open_bundle
    from edge.config.station import EngineSettings
    from edge.diagnostics.stage_timing import measure
    from edge.engines.available import available_engines

    opened = open_bundle(bundle)
    settings = EngineSettings(threads=threads, spin=spin, folder=engines)
    measured = measure(opened, available_engines(opened, settings), rounds, _frame_wh(size))
    if as_json:
        print(json.dumps(_as_json(opened, measured)))
    else:
        _print_table(opened, measured)


def _frame_wh(size: str | None) -> tuple[int, int] | None:
    if size is None:
        return None
    found = re.fullmatch(r"(\d+)x(\d+)", size)
    if found is None or not all(0 < int(side) <= 16384 for side in found.groups()):
        raise typer.BadParameter(f"--size: expected WIDTHxHEIGHT such as 1280x1024, got {size}")
    return (int(found[1]), int(found[2]))


def _as_json(bundle: Bundle, measured: Measured) -> dict[str, object]:
    """Return milliseconds and parts per second by engine and stage."""
    return {
        "bundle": {"name": bundle.manifest.name, "id": bundle.id},
        "frame_wh": measured.frame_wh,
        "parts": measured.parts,
        "engines": [asdict(engine) for engine in measured.engines],
        "refused": measured.refused,
    }


def _print_table(bundle: Bundle, measured: Measured) -> None:
    from rich.markup import escape
    from rich.table import Table

    width, height = measured.frame_wh
    console = rich_console()
    console.print(
        f"{escape(bundle.manifest.name)} {escape(bundle.manifest.version)}, {width}x{height} "
        f"frames, {measured.parts} parts on each engine; milliseconds per part",
        highlight=False,
    )
    for engine in measured.engines:
        info = engine.info
        threads = f", {info.threads} threads" if info.threads else ""
        mark = "" if engine.is_trusted else " (parity not checked on this device)"
        title = f"{info.backend} {info.version} {info.precision} on {info.device}{threads}{mark}"
        table = Table(title=escape(title), title_justify="left", box=None)
        table.add_column("stage")
        for column in ("p50", "p95", "p99", "per second"):
            table.add_column(column, justify="right")
        for stage in ORDER:
            times = engine.stages[stage]
            row = (f"{times.p50:.2f}", f"{times.p95:.2f}", f"{times.p99:.2f}")
            table.add_row(TITLES[stage], *row, f"{times.per_second:.1f}")
        console.print(table)
        share = f"{100 * engine.share_of_bare:.0f} % of the engine alone"
        console.print(f"frames to verdicts at {share}\n", highlight=False)
    for name, reason in measured.refused.items():
        console.print(f"{escape(name)}: not measured: {escape(reason)}", highlight=False)


def main() -> None:
    """Entry point."""
    run(app)
