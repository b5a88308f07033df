"""edge-eval: how good a bundle is on labelled pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edge.cli.console import make_app, progress, run, setup_logging

EPILOG = """Examples:\n
  edge-eval bundles/pcb --data data/pcb_traces\n
  edge-eval bundles/pcb --data data/pcb_traces --json > pcb.json
"""
app = make_app()


@app.command(epilog=EPILOG)
def evaluate_bundle(
    bundle: Annotated[Path, typer.Argument(help="bundle folder", show_default=False)],
    data: Annotated[Path, typer.Option(help="folder with test/good, test/<type> and ground_truth")],
    threads: Annotated[int, typer.Option(min=0, help="0 = physical cores")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Judge the test pictures of a data set and print image, pixel and line metrics.

    Pixel metrics are taken at the picture's own aspect ratio, longer side at most 512, masks cut at
    one half; AUPRO is exact up to a false-positive rate of 0.3.
    """
    setup_logging("warning")
    from edge.bundle.store import open_bundle
    from edge.cli.tables import print_evaluation
    from edge.config.station import EngineSettings
    from edge.engines.load import load_engine
    from edge.training.dataset import read_image_set
    from edge.training.evaluate import evaluate

    opened = open_bundle(bundle)
    images = read_image_set(data)
    with (
        load_engine(opened, EngineSettings(threads=threads)) as engine,
        progress(f"judging {images.name}", len(images.test)) as advance,
    ):
        result = evaluate(opened, engine, images, advance)
    if as_json:
        print(json.dumps(result.as_json()))
    else:
        print_evaluation(result, opened, images.name)


def main() -> None:
    """Entry point."""
    run(app)
