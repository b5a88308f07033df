"""edge-train: learn a product from pictures of good parts, and defect types from labelled ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.console import make_app, progress, run, setup_logging
from edge.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    from edge.training.fit import Progress
    from edge.training.run import RunRecord

EPILOG = """Examples:\n
  edge-train --data data/pcb_traces --out runs/pcb\n
  edge-train --data good_parts/ --size 320x256 --seed 1 --out runs/housing\n
  edge-train --data data/tiles --preset standard --weights /models/dinov2-small --out runs/tiles\n
  edge-train --data data/a --data data/b --out runs/both\n
  edge-train --data data/new --shots 4 --preset standard --out runs/new\n
  edge-train --method multiads --data data/a --data data/b --target data/c --out runs/c\n
  edge-train --method multiads --data data/a --target data/c --labelled 10 --out runs/c
"""
METHODS = ("inp-former", "multiads")
PLUS = ("soft-coherence", "squared-mining", "head")
app = make_app()


@app.command(epilog=EPILOG)
def train(
    data: Annotated[
        list[Path],
        typer.Option(
            help="folder with train/good, or of good pictures; several make one model for several "
            "products; multiads: folders with labelled defects and masks",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="run folder to write", show_default=False)],
    method: Annotated[
        str, typer.Option(help="inp-former learns good parts, multiads learns defect types")
    ] = "inp-former",
    preset: Annotated[
        str, typer.Option(help="lite, standard, accurate or (inp-former) large")
    ] = "lite",
    size: Annotated[
        str, typer.Option(help="network size WIDTHxHEIGHT; auto tries sizes on synthetic defects")
    ] = "auto",
    tiles: Annotated[
        str | None,
        typer.Option(help="inp-former: cut large frames into COLUMNSxROWS overlapping tiles"),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="backbone weights: file, folder or hub name")
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(
            min=1, help="inp-former: train on so many good pictures and 22 changed copies of each"
        ),
    ] = None,
    plus: Annotated[
        list[str] | None,
        typer.Option(
            help="inp-former: option of INP-Former++, soft-coherence, squared-mining or head; may "
            "be given several times"
        ),
    ] = None,
    branches: Annotated[
        bool,
        typer.Option(
            help="inp-former: try memory, position and image statistics beside INP-Former, and "
            "keep what helps"
        ),
    ] = True,
    target: Annotated[
        Path | None,
        typer.Option(help="multiads: the product to judge; default the last --data"),
    ] = None,
    types: Annotated[
        str | None,
        typer.Option(help="multiads: the target's defect types, comma between; default its own"),
    ] = None,
    labelled: Annotated[
        int | None,
        typer.Option(min=0, help="multiads: labelled defects per type of the target to learn from"),
    ] = None,
    few_shot: Annotated[
        int | None, typer.Option(min=0, help="multiads: good pictures to remember, default 0")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="inp-former: default the preset's")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="multiads: default 10, more for few pictures")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="default 16, for multiads 8")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="delete what --out holds")] = False,
) -> None:
    """Train a detector; a fifth of the good parts is held out for the threshold.

    An interrupted training goes on when the same command is given again.
    """
    setup_logging("warning")
    size_wh = _pair(size, "--size", auto=True)
    options: dict[str, dict[str, object]] = {
        "inp-former": {
            "--tiles": tiles,
            "--steps": steps,
            "--shots": shots,
            "--plus": plus or None,
        },
        "multiads": {
            "--target": target,
            "--types": types,
            "--labelled": labelled,
            "--few-shot": few_shot,
            "--epochs": epochs,
        },
    }
    _check_method(method, options)
    unknown = sorted(set(plus or ()) - set(PLUS))
    if unknown:
        raise ConfigError(f"--plus: expected one of {', '.join(PLUS)}, got {unknown[0]}")
    _clear(out, fresh=fresh)
    with ExitStack() as bars:

        def stage(stage: str, total: int) -> Callable[[int], None]:
            bars.close()  # the previous stage's bar is full by now
            return bars.enter_context(progress(stage, total))

        if method == "multiads":
            names = tuple(name.strip() for name in (types or "").split(",") if name.strip())
            record = _multiads(
                tuple(data), target, out, preset, weights, size_wh, names, few_shot or 0,
                {
                    "seed": seed, "epochs": epochs, "least_steps": None if epochs is None else 0,
                    "batch": batch, "labelled": labelled,
                }, stage,
            )  # fmt: skip
        else:
            record = _inp_former(
                tuple(data), out, preset, weights, size_wh, tiles or "1x1", plus or (),
                {"seed": seed, "steps": steps, "batch": batch, "shots": shots}, stage,
                branches=branches,
            )  # fmt: skip
    width, height = record.model.size_wh
    print(
        f"{out}: trained on {record.data.train_images} good pictures at {width}x{height}, "
        f"{record.data.held_out_images} held out; next: edge-build {out} --out BUNDLE"
    )


def _inp_former(
    data: tuple[Path, ...],
    out: Path,
    preset: str,
    weights: str | None,
    size_wh: tuple[int, int] | None,
    tiles: str,
    plus: Sequence[str],
    training: Mapping[str, int | None],
    stage: Progress,
    *,
    branches: bool,
) -> RunRecord:
    tiles_wh = _pair(tiles, "--tiles")
    from edge.models.inp_former_plus import HEAD_CHANNELS
    from edge.models.presets import find_preset
    from edge.training.fit import Request, fit
    from edge.training.run import TrainingSettings

    chosen = find_preset(preset)
    chosen_options = {
        "steps": chosen.steps,
        "soft_coherence": "soft-coherence" in plus,
        "squared_mining": "squared-mining" in plus,
    }
    request = Request(
        data=data,
        preset=chosen,
        weights=weights,
        size_wh=size_wh,
        tiles_wh=tiles_wh or (1, 1),
        overlap=0.1 if tiles_wh != (1, 1) else 0.0,
        training=TrainingSettings.model_validate(chosen_options | _given(training)),
        head=HEAD_CHANNELS if "head" in plus else None,
        branches=branches,
    )
    return fit(request, out, stage)


def _multiads(
    data: tuple[Path, ...],
    target: Path | None,
    out: Path,
    preset: str,
    weights: str | None,
    size_wh: tuple[int, int] | None,
    types: tuple[str, ...],
    memory_frames: int,
    training: Mapping[str, int | None],
    stage: Progress,
) -> RunRecord:
    from edge.training.multiads.fit import fit
    from edge.training.multiads.lesson import Request
    from edge.training.multiads.settings import AdapterTraining

    request = Request(
        data=data,
        target=target,
        preset=preset,
        weights=weights,
        size_wh=size_wh,
        types=types,
        memory_frames=memory_frames,
        training=AdapterTraining.model_validate(_given(training)),
    )
    record = fit(request, out, stage)
    told = record.adapters
    if told is not None and told.own_defects:
        print(
            f"{out}: learned from {len(told.own_defects)} labelled defects of "
            f"{record.data.name} itself; they test nothing any more (see run.yaml)"
        )
    return record


def _given(options: Mapping[str, int | None]) -> dict[str, int]:
    """Options that were given; the rest keep their method's default."""
    return {name: value for name, value in options.items() if value is not None}


def _check_method(method: str, options: Mapping[str, Mapping[str, object]]) -> None:
    if method not in METHODS:
        raise ConfigError(f"--method: expected one of {', '.join(METHODS)}, got {method}")
    for other in METHODS:
        for name, value in options[other].items():
            if other != method and value is not None:
                raise ConfigError(f"{name}: expected with --method {other} only, got {method}")


def _clear(out: Path, *, fresh: bool) -> None:
    from edge.training.run import RECORD

    if fresh and out.exists():
        if not (out / RECORD).is_file() and any(out.iterdir()):
            raise TrainingError(f"--out {out}: is not a run; not deleted")
        shutil.rmtree(out)


def _pair(text: str, option: str, *, auto: bool = False) -> tuple[int, int] | None:
    if auto and text == "auto":
        return None
    left, _, right = text.lower().partition("x")
    if not (left.isdecimal() and right.isdecimal() and int(left) > 0 and int(right) > 0):
        raise ConfigError(f"{option}: expected two numbers such as 320x256, got {text}")
    return int(left), int(right)


def main() -> None:
    """Entry point."""
    run(app)
