"""edge-recipe: change what a finished bundle knows, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.cli.console import make_app, progress, run, say, setup_logging

EPILOG = """Examples:\n
  edge-recipe add-type bundles/pcb "rust" --run runs/pcb --out bundles/pcb2\n
  edge-recipe add-type bundles/pcb "bent pin" --run runs/pcb --types runs/names --out bundles/pcb2
"""
app = make_app()


@app.callback()
def recipe() -> None:
    """Change what a finished bundle knows, without training."""


@app.command("add-type", epilog=EPILOG)
def add_type(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", show_default=False)],
    word: Annotated[
        str,
        typer.Argument(metavar="WORD", help="plain words for the defect, such as rust"),
    ],
    run_folder: Annotated[
        Path, typer.Option("--run", help="run that BUNDLE was packed from", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="bundle folder to write", show_default=False)],
    types: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="run of BUNDLE's second graph, if it was packed with --types",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="CLIP of a multiads or dapo run, if it lies elsewhere than in training"),
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="version of the new bundle; default BUNDLE's")
    ] = None,
    int8: Annotated[
        Path | None,
        typer.Option(
            metavar="SET",
            help="calibration set, to quantize the INT8 graphs of the new bundle",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Add a defect type to a bundle by its word alone.

    Only the text bank is made anew: maps, scores, threshold and the logits of the other types stay
    as they are, which is checked on the golden pictures, as is parity. A word says less than an
    example: measure with labelled pictures how many defects of the new type it finds. Jargon means
    nothing to the text encoder; put it in plain words. BUNDLE and RUN stay as they are.
    """
    setup_logging("warning")
    from edge.bundle.store import open_bundle
    from edge.cli.tables import print_bundle
    from edge.toolchain.packing.add_type import AddRequest
    from edge.toolchain.packing.add_type import add_type as add
    from edge.toolchain.quantization.calibration_set import read_calibration_set

    calibration = None if int8 is None else read_calibration_set(int8)
    request = AddRequest(bundle, word, run_folder, types, weights, version, calibration)
    with progress("adding", 4) as advance:
        added = add(request, out, advance)
    print_bundle(added.bundle)
    say(
        f"{out}: names {word.strip()} too; on the golden pictures scores moved by at most "
        f"{added.score_difference:.1e}, logits of the other types by {added.logit_difference:.1e} "
        "of the largest"
    )
    if calibration is None and any(
        g.precision == "int8" for g in open_bundle(bundle).manifest.graphs
    ):
        say(f"{out}: holds no INT8 graphs, as {bundle} does; give --int8 SET to make them anew")


def main() -> None:
    """Entry point."""
    run(app)
