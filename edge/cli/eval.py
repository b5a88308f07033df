"""edge-eval: how good a bundle is on labelled pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edge.cli.console import make_app, progress, run, setup_logging

EPILOG = """Examples:\n
  edge-eval bundles/pcb --data data/pcb_traces\n
  edge-eval bundles/pcb --data data/pcb_traces --json > pcb.json\n
  edge-eval bundles/pcb --data data/pcb_traces --report pcb.html
"""
app = make_app()


@app.command(epilog=EPILOG)
def evaluate_bundle(
    bundle: Annotated[Path, typer.Argument(help="bundle folder", show_default=False)],
    data: Annotated[Path, typer.Option(help="folder with test/good, test/<type> and ground_truth")],
    product: Annotated[
        str | None, typer.Option(help="evaluate as this product of a bundle that serves several")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="0 = physical cores")] = 0,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="also write a page with curves and pictures"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Inspect the test pictures of a data set and print image, pixel and line metrics.

    Pixel metrics are taken at the picture's own aspect ratio, longer side at most 512, masks cut at
    one half; AUPRO is exact up to a false-positive rate of 0.3. Type metrics are over detected
    defects; a region hits a defect when their IoU is at least 0.1 or its centre lies inside.
    Labelled pictures that the bundle's types were trained on are left out of everything.
    Pixels by type are taken at a longer side of 128; a pixel is called a type where the map is
    above the threshold.
    """
    setup_logging("warning")
    from edge.bundle.store import open_bundle
    from edge.cli.tables import print_evaluation
    from edge.config.station import EngineSettings
    from edge.data.held_out import say_leaks
    from edge.data.image_set import read_image_set
    from edge.engines.load import load_engine, load_types_engine
    from edge.evaluation.evaluate import evaluate, unseen
    from edge.evaluation.report.document import check_writable, write_report
    from edge.evaluation.report.galleries import shown
    from edge.evaluation.set_inspector import SetInspector

    if report is not None:
        check_writable(report)
    opened = open_bundle(bundle)
    if product is not None:
        opened = opened.for_product(product)
    images = read_image_set(data)
    say_leaks(images)
    count = len(unseen(opened, images))
    settings = EngineSettings(threads=threads)
    with load_engine(opened, settings) as engine, load_types_engine(opened, settings) as types:
        with progress(f"inspecting {images.name}", count) as advance:
            result = evaluate(opened, engine, images, advance, types)
        if report is not None:
            with progress("drawing pictures", shown(result)) as advance:
                inspect = SetInspector(opened, engine, types)
                write_report(report, result, opened, images.name, inspect, advance)
    if as_json:
        print(json.dumps(result.as_json()))
    else:
        print_evaluation(result, opened, images.name)


def main() -> None:
    """Entry point."""
    run(app)
