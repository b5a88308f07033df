"""edge-eval: how good a bundle is on labelled pictures, alone or against another."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.console import make_app, progress, run, say_next, setup_logging

if TYPE_CHECKING:
    from edge.bundle.store import Bundle
    from edge.data.image_set import ImageSet
    from edge.evaluation.evaluate import Evaluation
    from edge.evaluation.set_inspector import SetInspector

EPILOG = """Examples:\n
  edge-eval bundles/pcb --data data/pcb_traces\n
  edge-eval bundles/pcb --data data/pcb_traces --json > pcb.json\n
  edge-eval bundles/pcb --data data/pcb_traces --report pcb.html\n
  edge-eval bundles/new --against bundles/old --data data/pcb_traces --report changes.html
"""
app = make_app()


@app.command(epilog=EPILOG)
def evaluate_bundle(
    bundle: Annotated[Path, typer.Argument(help="bundle folder", show_default=False)],
    data: Annotated[Path, typer.Option(help="folder with test/good, test/<type> and ground_truth")],
    against: Annotated[
        Path | None,
        typer.Option(help="another bundle folder to compare with, on the same pictures"),
    ] = None,
    product: Annotated[
        str | None, typer.Option(help="evaluate as this product of a bundle that serves several")
    ] = None,
    view: Annotated[
        str | None, typer.Option(help="evaluate as this view, of a bundle with --views thresholds")
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

    --json lists every test picture with its score and verdict. With --against both bundles see
    the same pictures, and what is told is how their figures and verdicts differ.
    """
    setup_logging("warning")
    from edge.bundle.store import open_bundle
    from edge.data.held_out import say_leaks
    from edge.data.image_set import read_image_set
    from edge.evaluation.report.document import check_writable

    if report is not None:
        check_writable(report)
    opened = [open_bundle(folder) for folder in (bundle, against) if folder is not None]
    if product is not None:
        opened = [each.for_product(product) for each in opened]
    if view is not None:
        opened = [each.for_view(view) for each in opened]
    images = read_image_set(data)
    say_leaks(images)
    if against is None:
        _evaluate(opened[0], images, data, threads, report, as_json=as_json)
    else:
        _compare((opened[0], opened[1]), images, data, threads, report, as_json=as_json)


def _evaluate(
    bundle: Bundle,
    images: ImageSet,
    data: Path,
    threads: int,
    report: Path | None,
    *,
    as_json: bool,
) -> None:
    from edge.cli.tables import print_evaluation
    from edge.evaluation.picture_rows import picture_rows, suggestions
    from edge.evaluation.report.document import write_report
    from edge.evaluation.report.galleries import shown

    with ExitStack() as engines:
        inspect, result = _inspected(bundle, images, threads, engines)
        if report is not None:
            with progress("drawing pictures", shown(result)) as advance:
                write_report(report, result, bundle, images.name, inspect, advance)
    if as_json:
        pictures = picture_rows(result, bundle, images, data)
        told = {"suggested_thresholds": suggestions(result), "pictures": pictures}
        print(json.dumps({**result.as_json(), **told}))
    else:
        print_evaluation(result, bundle, images.name)
        say_next("edge-infer", "STATION.yaml", "--bundle", bundle.folder, "--check")


def _compare(
    bundles: tuple[Bundle, Bundle],
    images: ImageSet,
    data: Path,
    threads: int,
    report: Path | None,
    *,
    as_json: bool,
) -> None:
    from edge.cli.comparison_table import comparison_json, print_comparison, title_of
    from edge.evaluation.comparison import both_unseen, compare
    from edge.evaluation.report.comparison_page import Side, changes_shown, write_comparison

    images = both_unseen(bundles, images)
    titles = (title_of(bundles[0]), title_of(bundles[1]))
    with ExitStack() as engines:
        first, second = (_inspected(each, images, threads, engines) for each in bundles)
        comparison = compare(first[1], second[1])
        if report is not None:
            sides = (Side(titles[0], first[0]), Side(titles[1], second[0]))
            with progress("drawing pictures", changes_shown(comparison)) as advance:
                write_comparison(report, comparison, images.name, sides, advance)
    if as_json:
        print(json.dumps(comparison_json(comparison, bundles, images, data)))
    else:
        print_comparison(comparison, titles, images.name)
        say_next("edge-infer", "STATION.yaml", "--bundle", bundles[0].folder, "--check")


def _inspected(
    bundle: Bundle, images: ImageSet, threads: int, engines: ExitStack
) -> tuple[SetInspector, Evaluation]:
    """Evaluate a bundle; its engines stay open in `engines` for the inspector that comes back."""
    from edge.config.station import EngineSettings
    from edge.engines.load import load_engine, load_types_engine
    from edge.evaluation.evaluate import evaluate, unseen
    from edge.evaluation.set_inspector import SetInspector

    count = len(unseen(bundle, images))
    settings = EngineSettings(threads=threads)
    engine = engines.enter_context(load_engine(bundle, settings))
    types = engines.enter_context(load_types_engine(bundle, settings))
    with progress(f"inspecting {images.name}", count) as advance:
        result = evaluate(bundle, engine, images, advance, types)
    return SetInspector(bundle, engine, types), result


def main() -> None:
    """Entry point."""
    run(app)
