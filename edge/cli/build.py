"""edge-build: from a trained run to a verified bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.cli.console import make_app, progress, run, setup_logging

EPILOG = """Examples:\n
  edge-build runs/pcb --out bundles/pcb\n
  edge-build runs/pcb --out bundles/pcb --alpha 0.005 --mm-per-px 0.05\n
  edge-build runs/pcb --types runs/pcb-types --out bundles/pcb\n
  edge-build runs/pcb --int8 sets/pcb --out bundles/pcb
"""
app = make_app()


@app.command(epilog=EPILOG)
def build(
    run_folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="folder that edge-train wrote", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="bundle folder to write; replaced when it passes")],
    types: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="multiads run of the same product: its graph names the defect types of parts that "
            "do not pass",
            show_default=False,
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="false-reject rate; default 1 %, or what the good parts support"),
    ] = None,
    name: Annotated[str | None, typer.Option(help="name; default the data set's")] = None,
    version: Annotated[str, typer.Option(help="version of the bundle")] = "1",
    mm_per_px: Annotated[float | None, typer.Option(min=1e-9, help="scale of the frames")] = None,
    veto_above: Annotated[
        float | None,
        typer.Option(
            help="set regions aside as false alarms that the types call normal with a higher "
            "probability, such as 0.95; default none",
            show_default=False,
        ),
    ] = None,
    veto_passes: Annotated[
        bool,
        typer.Option("--veto-passes", help="let a part pass if every region of it is set aside"),
    ] = False,
    int8: Annotated[
        Path | None,
        typer.Option(
            metavar="SET",
            help="calibration set of good parts (calibration/collect.py): pack INT8 graphs, too",
            show_default=False,
        ),
    ] = None,
    licence: Annotated[str, typer.Option(help="licence, for the card")] = "not stated",
) -> None:
    """Export the model, fit the threshold, and check that the bundle decides as the model does."""
    setup_logging("warning")
    from edge.cli.tables import print_bundle, print_outlying
    from edge.methods.run import read_calibration, read_record
    from edge.toolchain.packing.card import unproven
    from edge.toolchain.packing.pack import PackOptions, pack_bundle
    from edge.toolchain.packing.thresholds import outlying
    from edge.toolchain.quantization.calibration_set import read_calibration_set

    options = PackOptions(
        name=name,
        version=version,
        alpha=alpha,
        mm_per_px=mm_per_px,
        licence=licence,
        types_run=types,
        veto_above=veto_above,
        veto_passes=veto_passes,
        int8=None if int8 is None else read_calibration_set(int8),
    )
    with progress("building", 4) as advance:
        bundle = pack_bundle(run_folder, out, options, advance)
    print_bundle(bundle)
    if read_record(run_folder).instant is not None:
        typer.echo(unproven(bundle.thresholds.score))
    held_out = read_calibration(run_folder)
    places = outlying(held_out.scores, bundle.thresholds.score)
    others = [s for place, s in enumerate(held_out.scores) if place not in places]
    print_outlying([(held_out.files[p], held_out.scores[p]) for p in places], max(others))


def main() -> None:
    """Entry point."""
    run(app)
