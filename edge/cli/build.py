"""edge-build: from a trained run to a verified bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.console import make_app, progress, run, say_next, setup_logging

if TYPE_CHECKING:
    from edge.bundle.store import Bundle
    from edge.toolchain.fast_form.form import FastForm
    from edge.training.run_folder import Calibration

EPILOG = """Examples:\n
  edge-build runs/pcb --out bundles/pcb\n
  edge-build runs/pcb --out bundles/pcb --alpha 0.005 --mm-per-px 0.05\n
  edge-build runs/pcb --out bundles/pcb --leave-out board-17\n
  edge-build runs/pcb --types runs/pcb-types --out bundles/pcb\n
  edge-build runs/pcb --int8 sets/pcb --out bundles/pcb\n
  edge-build runs/pcb --fast --data parts/ --out bundles/pcb-fast
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
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART",
            help="good part whose scores do not count for the threshold, such as an odd one that "
            "was named here before; may be repeated",
            show_default=False,
        ),
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
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="pack the fast form: one small head that learns from the run what it says of good "
            "parts and synthetic defects; takes minutes and needs --data; names no types",
        ),
    ] = False,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="--fast: the data the run was trained on", show_default=False),
    ] = None,
    accept_lower: Annotated[
        bool,
        typer.Option(
            "--accept-lower",
            help="--fast: pack it even if it decides too differently; the card says how much",
        ),
    ] = False,
    licence: Annotated[str, typer.Option(help="licence, for the card")] = "not stated",
) -> None:
    """Export the model, fit the threshold, and check that the bundle decides as the model does."""
    setup_logging("warning")
    from edge.cli.tables import print_bundle
    from edge.methods.run import read_calibration, read_record
    from edge.toolchain.packing.card import unproven
    from edge.toolchain.packing.pack import PackOptions, pack_bundle
    from edge.toolchain.packing.thresholds import parts_over
    from edge.toolchain.quantization.calibration_set import read_calibration_set

    form = None
    if fast:
        form = _fast_form(run_folder, data or [], alpha, accept_lower=accept_lower)
    elif data or accept_lower:
        raise typer.BadParameter("--data and --accept-lower: go with --fast; give it, too")
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
        leave_out=tuple(leave_out or ()),
        fast=form,
    )
    with progress("building", 4) as advance:
        bundle = pack_bundle(run_folder, out, options, advance)
    print_bundle(bundle)
    calibration = read_calibration(run_folder) if form is None else form.calibration
    record = read_record(run_folder)
    if record.instant is not None:
        threshold = bundle.thresholds.score
        typer.echo(unproven(threshold, parts_over(calibration, threshold)))
    print_evidence(bundle, calibration, augmented=getattr(record.training, "augment", False))
    say_next("edge-eval", out, "--data", "DATA")


def _fast_form(
    run_folder: Path, data: list[Path], alpha: float | None, *, accept_lower: bool
) -> FastForm:
    from edge.cli.stage_bars import stage_bars
    from edge.methods.stages import FAST_FORM
    from edge.toolchain.fast_form.form import distil

    if not data:
        raise typer.BadParameter("--fast: learns from the run's pictures; give them with --data")
    with stage_bars(FAST_FORM) as bars:
        form = distil(run_folder, data, bars, alpha=alpha, accept_lower=accept_lower)
    print(f"fast form: {form.agreement}")
    if form.types:
        print(f"fast form: names no types, {', '.join(form.types)} are left out")
    return form


def print_evidence(bundle: Bundle, calibration: Calibration, *, augmented: bool = False) -> None:
    """Print what the threshold rests on, and what another rate or another shift would do."""
    from edge.bundle.operating_points import read_operating_points
    from edge.cli.build_report import (
        print_odd_parts,
        print_operating_points,
        print_other_shifts,
        print_outlying,
    )
    from edge.toolchain.packing.odd_parts import odd_parts
    from edge.toolchain.packing.other_shifts import told, too_many
    from edge.toolchain.packing.thresholds import outlying, without_parts

    threshold = bundle.thresholds.score
    kept = without_parts(calibration, threshold.left_out)
    places = outlying(kept.scores, threshold)
    others = [score for place, score in enumerate(kept.scores) if place not in places]
    print_outlying([(kept.files[p], kept.scores[p]) for p in places], max(others))
    if odd := odd_parts(calibration, threshold):
        print_odd_parts(odd, threshold.value)
    if points := read_operating_points(bundle):
        print_operating_points(points, threshold.alpha)
        if worst := too_many(points.other_shifts, threshold.alpha):
            print_other_shifts(told(worst), threshold.alpha, augmented=augmented)


def main() -> None:
    """Entry point."""
    run(app)
