"""edge-bundle import-anomalib: a bundle from a model that anomalib exported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.cli.console import say, setup_logging

EPILOG = """Examples:\n
  edge-bundle import-anomalib model.onnx --data good_parts/ --out bundles/housing\n
  edge-bundle import-anomalib model.onnx --data good_parts/ --input 640x512 --out bundles/housing\n
  edge-bundle import-anomalib model.xml --data good_parts/ --out bundles/housing
"""


def import_anomalib(
    export: Annotated[
        Path,
        typer.Argument(
            help="ONNX file that anomalib 2.x exported, or the .xml file of its OpenVINO IR",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            help="good pictures for the threshold, none of which the model has seen",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="bundle folder to write", show_default=False)],
    input_size: Annotated[
        str | None,
        typer.Option(
            "--input", help="network input WIDTHxHEIGHT, where the export takes any; default the "
            "size of the pictures", show_default=False,
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="false-reject rate; default 1 %, or what the good parts support"),
    ] = None,
    name: Annotated[str | None, typer.Option(help="name; default the data set's")] = None,
    version: Annotated[str, typer.Option(help="version of the bundle")] = "1",
    mm_per_px: Annotated[float | None, typer.Option(min=1e-9, help="scale of the frames")] = None,
    licence: Annotated[str, typer.Option(help="licence, for the card")] = "not stated",
    seed: Annotated[int, typer.Option(min=0, help="of the golden set's synthetic defects")] = 0,
) -> None:  # fmt: skip
    """Make a bundle of an exported anomalib model: its own network and pre-processing, our line.

    The threshold is set anew on good pictures; the model's own is told in the card. A bundle of an
    OpenVINO IR runs on OpenVINO alone.
    """
    setup_logging("warning")
    from edge.cli.build import print_evidence
    from edge.cli.stage_bars import stage_bars
    from edge.cli.tables import print_bundle
    from edge.cli.train_options import pair
    from edge.toolchain.anomalib_import.card import limits, own_threshold
    from edge.toolchain.anomalib_import.importing import import_export
    from edge.toolchain.anomalib_import.request import ImportRequest

    request = ImportRequest(
        export=export,
        data=data,
        size_wh=None if input_size is None else pair(input_size, "--input"),
        name=name,
        version=version,
        alpha=alpha,
        mm_per_px=mm_per_px,
        licence=licence,
        seed=seed,
    )
    with stage_bars() as progress:
        made = import_export(request, out, progress)
    print_bundle(made.bundle)
    say(f"the model's own threshold: {own_threshold(made.facts)}")
    for line in limits(made.facts, made.bundle.thresholds.score):
        say(line)
    print_evidence(made.bundle, made.calibration)
