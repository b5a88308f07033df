"""edge-import: make runs from models that were trained elsewhere, or for another product."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.console import make_app, run, say, setup_logging
from edge.cli.stage_bars import stage_bars
from edge.cli.train_options import pair
from edge.errors import ConfigError

if TYPE_CHECKING:
    from edge.geometry.geometry import Geometry
    from edge.methods.run_record import RunRecord

EPILOG = """Examples:\n
  edge-import inp-former model.pth --size base --data good_parts/ --out runs/housing\n
  edge-import inp-former model.pth --size small --zero-shot --data good_parts/ --out runs/new\n
  edge-import run runs/housing --zero-shot --data other_parts/ --out runs/other\n
  edge-import lookout train.manifest --data pictures/
"""
Out = Annotated[Path, typer.Option(help="run folder to write", show_default=False)]
ZeroShot = Annotated[
    bool,
    typer.Option(
        "--zero-shot", help="judge by the distance to prototypes, for products never trained on"
    ),
]
GeometryFile = Annotated[
    Path | None, typer.Option("--geometry", help="file that says what of the frame is inspected")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="replace the run that --out holds")]
app = make_app()


@app.callback(epilog=EPILOG)
def about() -> None:
    """Make runs from models that were trained elsewhere, or for another product."""
    setup_logging("warning")


@app.command("inp-former", epilog=EPILOG)
def inp_former(
    checkpoint: Annotated[
        Path,
        typer.Argument(help="model.pth of the published scripts, or its safetensors"),
    ],
    size: Annotated[str, typer.Option(help="small, base or large", show_default=False)],
    out: Out,
    data: Annotated[
        Path | None,
        typer.Option(help="good pictures for the threshold, none of which the model has seen"),
    ] = None,
    input_size: Annotated[
        str, typer.Option("--input", help="network size WIDTHxHEIGHT, multiples of 14")
    ] = "392x392",
    chain: Annotated[
        str, typer.Option("--map", help="published, or calibrated as our own presets")
    ] = "published",
    zero_shot: ZeroShot = False,
    geometry: GeometryFile = None,
    seed: Annotated[int, typer.Option(min=0, help="of the golden set's synthetic defects")] = 0,
    fresh: Fresh = False,
) -> None:
    """Import an official INP-Former checkpoint; names and shapes are checked one by one."""
    from edge.methods.inp_former.importing import CheckpointRequest, import_checkpoint

    if chain not in ("published", "calibrated"):
        raise ConfigError(f"--map: expected published or calibrated, got {chain}")
    request = CheckpointRequest(
        checkpoint=checkpoint,
        size=size,
        data=data,
        size_wh=pair(input_size, "--input"),
        chain="published" if chain == "published" else "calibrated",
        is_zero_shot=zero_shot,
        seed=seed,
        is_fresh=fresh,
        geometry=_geometry(geometry),
    )
    with stage_bars() as progress:
        record = import_checkpoint(request, out, progress)
    _report(out, record)


@app.command("run", epilog=EPILOG)
def from_run(
    source: Annotated[Path, typer.Argument(metavar="RUN", help="finished run to take over")],
    out: Out,
    data: Annotated[
        Path, typer.Option(help="good pictures of the other product", show_default=False)
    ],
    zero_shot: ZeroShot = False,
    geometry: GeometryFile = None,
    fresh: Fresh = False,
) -> None:
    """Take a trained run over to another product: same weights, thresholds set anew.

    The geometry is the run's, unless --geometry names another one.
    """
    from edge.methods.inp_former.importing import reuse_run

    with stage_bars() as progress:
        record = reuse_run(
            source,
            data,
            out,
            progress,
            is_zero_shot=zero_shot,
            is_fresh=fresh,
            geometry=_geometry(geometry),
        )
    _report(out, record)


@app.command("lookout", epilog=EPILOG)
def lookout(
    manifest: Annotated[
        Path, typer.Argument(help="JSON lines of Lookout for Vision", show_default=False)
    ],
    data: Annotated[Path, typer.Option(help="folder of its pictures", show_default=False)],
) -> None:
    """Write labels.csv beside the pictures of an Amazon Lookout for Vision manifest."""
    from edge.data.lookout_manifest import write_labels

    rows = write_labels(manifest, data)
    good = sum(row.label == "OK" for row in rows)
    say(
        f"{data}: labels.csv with {good} OK and {len(rows) - good} NOK; next: edge-train --data "
        f"{data} --out RUN"
    )


def _geometry(path: Path | None) -> Geometry | None:
    if path is None:
        return None
    from edge.geometry.geometry import read_geometry

    return read_geometry(path)


def _report(out: Path, record: RunRecord) -> None:
    width, height = record.model.size_wh
    if record.data.held_out_images:
        say(
            f"{out}: {record.preset} at {width}x{height}, {record.data.held_out_images} good "
            f"pictures for the threshold; next: edge-build {out} --out BUNDLE"
        )
    else:
        say(
            f"{out}: {record.preset} at {width}x{height}, without threshold: to build a bundle, "
            "import it again with --data GOOD_PICTURES"
        )


def main() -> None:
    """Entry point."""
    run(app)
