"""edge-train: learn good parts and labelled defects (more than 300 lines: options are many)."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from edge.cli import console
from edge.cli.stage_bars import stage_bars
from edge.cli.train_options import panel, read_options
from edge.cli.train_report import report
from edge.cli.train_requests import request
from edge.errors import TrainingError

EPILOG = """Examples:\n
  edge-train --data data/pcb_traces --out runs/pcb\n
  edge-train --data good_parts/ --size 320x256 --seed 1 --out runs/housing\n
  edge-train --data good_parts/ --geometry configs/geometry.yaml --out runs/housing\n
  edge-train --data data/tiles --preset standard --weights /models/dinov2-small --out runs/tiles\n
  edge-train --data data/a --data data/b --out runs/both\n
  edge-train --data data/new --shots 4 --preset standard --out runs/new\n
  edge-train --data few_good_parts/ --instant --out runs/new\n
  edge-train --method multiads --data data/a --data data/b --target data/c --out runs/c\n
  edge-train --method multiads --data data/a --target data/c --labelled 10 --out runs/c\n
  edge-train --method mavis --data data/a --target data/c --labelled 10 --out runs/c\n
  edge-train --method dapo --data data/a --target data/c --labelled 10 --out runs/c\n
  edge-train --method promptmad --data data/tiles --types "crack,chip" --out runs/tiles\n
  edge-train --method types --run runs/pcb --data data/pcb_traces --labelled 10 --out runs/named\n
  edge-train --method types --run runs/pcb --data data/pcb --false-rejects rejects/ --out runs/b\n
  edge-train --method update --run runs/pcb --data data/pcb --reviews dashboard/ --out runs/b
"""
app = console.make_app()


@app.command(epilog=EPILOG)
def train(
    data: Annotated[
        list[Path],
        typer.Option(
            help="folder with train/good, or of good pictures; several make one model for several "
            "products (inp-former; promptmad takes one); multiads, mavis, dapo: folders with "
            "labelled defects and masks",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="run folder to write", show_default=False)],
    method: Annotated[
        str,
        typer.Option(
            help="inp-former learns good parts, promptmad too from one good picture and words, "
            "multiads defect types with a backbone of its own, mavis them and that a good part "
            "is none of them, dapo prompts for them inside the text encoder, types lets a "
            "finished inp-former run name defects, update lets it learn reviews"
        ),
    ] = "inp-former",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="delete the run that --out holds")] = False,
    preset: Annotated[
        str | None,
        typer.Option(
            help="lite, standard, accurate or (inp-former) lite2, large; default lite",
            rich_help_panel=panel("preset"),
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="backbone weights: file, folder or hub name", rich_help_panel=panel("weights")
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="network size WIDTHxHEIGHT; default auto, which tries sizes on synthetic defects "
            "(inp-former) or takes one that fits the frames",
            rich_help_panel=panel("size"),
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="default inp-former 16, others 8", rich_help_panel=panel("batch")),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="default inp-former the preset's, promptmad 1500",
            rich_help_panel=panel("steps"),
        ),
    ] = None,
    tiles: Annotated[
        str | None,
        typer.Option(help="cut frames into COLUMNSxROWS tiles", rich_help_panel=panel("tiles")),
    ] = None,
    geometry: Annotated[
        Path | None,
        typer.Option(
            help="file with region of interest, ignore masks, rotation, alignment; goes into the "
            "bundle's recipe",
            rich_help_panel=panel("geometry"),
        ),
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="train on so many good pictures and 22 changed copies of each",
            rich_help_panel=panel("shots"),
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            help="learn from all good parts, each judged by one of so many trainings without it; "
            "0 holds a fifth out; default 2 with lite presets",
            rich_help_panel=panel("folds"),
        ),
    ] = None,
    trim: Annotated[
        bool | None,
        typer.Option("--trim", help="learn no odd good pictures", rich_help_panel=panel("trim")),
    ] = None,
    augment: Annotated[
        bool | None,
        typer.Option(
            "--augment", help="learn other light and places too", rich_help_panel=panel("augment")
        ),
    ] = None,
    instant: Annotated[
        bool | None,
        typer.Option(
            "--instant",
            help="make a run of few good pictures, one is enough, without training; "
            "how many good parts it rejects is not proven, and a later training takes its place",
            show_default=False,
            rich_help_panel=panel("instant"),
        ),
    ] = None,
    plus: Annotated[
        list[str] | None,
        typer.Option(
            help="option of INP-Former++, soft-coherence, squared-mining or head; may be given "
            "several times",
            rich_help_panel=panel("plus"),
        ),
    ] = None,
    refine: Annotated[
        bool | None,
        typer.Option(
            "--refine",
            help="try PromptMAD's mask as a branch, and keep it if it wins on synthetic defects",
            show_default=False,
            rich_help_panel=panel("refine"),
        ),
    ] = None,
    branches: Annotated[
        bool | None,
        typer.Option(
            "--branches/--no-branches",
            help="try memory, position and image statistics beside INP-Former, and keep what "
            "helps, which is the default, or leave them out",
            show_default=False,
            rich_help_panel=panel("branches"),
        ),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(
            help="the product to judge; default the last --data", rich_help_panel=panel("target")
        ),
    ] = None,
    few_shot: Annotated[
        int | None,
        typer.Option(
            min=0, help="good pictures to remember, default 0", rich_help_panel=panel("few_shot")
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="default 10, dapo 5, mavis 3, or more", rich_help_panel=panel("epochs")
        ),
    ] = None,
    types: Annotated[
        str | None,
        typer.Option(
            help="defect types to tell apart, comma between; promptmad: defects to describe; "
            "default the product's own",
            rich_help_panel=panel("types"),
        ),
    ] = None,
    labelled: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="labelled defects per type of the judged product to learn from",
            rich_help_panel=panel("labelled"),
        ),
    ] = None,
    n_pair: Annotated[
        list[str] | None,
        typer.Option(
            help="level of the N-pair loss, image or patch; may be given several times; default "
            "patch, with a CLIP both; image on lite trains an image vector",
            rich_help_panel=panel("n_pair"),
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="leave out text-tokens or visual-tokens; may be given several times. Without "
            "visual-tokens, which lite never has, features are computed once",
            rich_help_panel=panel("without"),
        ),
    ] = None,
    legacy_text_path: Annotated[
        bool | None,
        typer.Option(
            "--legacy-text-path",
            help="with a CLIP: text attention in both directions, read as in the released code",
            show_default=False,
            rich_help_panel=panel("legacy_text_path"),
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            help="the finished inp-former run that is to learn", rich_help_panel=panel("run")
        ),
    ] = None,
    negation: Annotated[
        bool | None,
        typer.Option(
            "--negation",
            help="learn with denials, too: a good part lies nearer to 'without scratch' than to "
            "'scratch'",
            show_default=False,
            rich_help_panel=panel("negation"),
        ),
    ] = None,
    names_only: Annotated[
        bool | None,
        typer.Option(
            "--names-only",
            help="leave map, score and threshold as they are",
            show_default=False,
            rich_help_panel=panel("names_only"),
        ),
    ] = None,
    false_rejects: Annotated[
        Path | None,
        typer.Option(
            help="folder of good pictures that the station rejected; they teach what is normal",
            rich_help_panel=panel("false_rejects"),
        ),
    ] = None,
    reviews: Annotated[
        Path | None,
        typer.Option(help="folder of the dashboard's reviews", rich_help_panel=panel("reviews")),
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option(help="raw archive, for their frames", rich_help_panel=panel("archive")),
    ] = None,
    accept_worse: Annotated[
        bool | None,
        typer.Option(
            "--accept-worse",
            help="write the run although the frozen test or a review got worse",
            rich_help_panel=panel("accept_worse"),
        ),
    ] = None,
) -> None:
    """Train a detector; no good part sets the threshold by a training that has seen it.

    An interrupted training goes on when the same command is given again.
    """
    given = dict(locals())  # the options, by name: nothing else is defined yet
    for general in ("out", "method", "fresh"):
        del given[general]
    console.setup_logging("warning")
    options = read_options(method, given)
    wanted = request(method, options)
    from edge.methods.registry import find_method
    from edge.methods.run_files import check_place, in_place_of, is_instant
    from edge.methods.stages import planned_stages

    _check_out(out)
    read = [
        *options.data,
        *(
            getattr(options, name, None)
            for name in ("target", "run", "false_rejects", "reviews", "archive")
        ),
    ]
    check_place(out, [folder for folder in read if folder is not None], fresh=fresh)
    replacing = in_place_of(out) if fresh or is_instant(out) else nullcontext()
    with replacing, stage_bars(planned_stages(method, wanted)) as progress:
        record = find_method(method).fit(wanted, out, progress)
    for line in report(out, method, options, record):
        console.say(line)


def _check_out(out: Path) -> None:
    """Check that the run folder can be written."""
    there = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not there.is_dir():
        raise TrainingError(f"--out {out}: expected a folder, {there} is a file; choose another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise TrainingError(f"--out {out}: {there} cannot be written; choose another folder")


def main() -> None:
    """Entry point."""
    console.run(app)
