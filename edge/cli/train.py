"""edge-train: learn a product from pictures of good parts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from edge.cli.console import make_app, progress, run, setup_logging
from edge.errors import ConfigError, TrainingError

EPILOG = """Examples:\n
  edge-train --data data/pcb_traces --out runs/pcb\n
  edge-train --data good_parts/ --size 320x256 --seed 1 --out runs/housing\n
  edge-train --data data/tiles --preset standard --weights /models/dinov2-small --out runs/tiles
"""
app = make_app()


@app.command(epilog=EPILOG)
def train(
    data: Annotated[
        Path, typer.Option(help="folder with train/good, or of good pictures", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="run folder to write", show_default=False)],
    preset: Annotated[str, typer.Option(help="lite, standard or accurate")] = "lite",
    size: Annotated[
        str, typer.Option(help="network size WIDTHxHEIGHT; auto tries sizes on synthetic defects")
    ] = "auto",
    tiles: Annotated[
        str, typer.Option(help="cut large frames into COLUMNSxROWS overlapping tiles")
    ] = "1x1",
    weights: Annotated[
        str | None, typer.Option(help="backbone weights: file, folder or hub name")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="default: the preset's")] = None,
    batch: Annotated[int, typer.Option(min=1)] = 16,
    fresh: Annotated[bool, typer.Option("--fresh", help="delete what --out holds")] = False,
) -> None:
    """Train a detector on good parts alone; a fifth of them is held out for the threshold.

    An interrupted training goes on when the same command is given again.
    """
    setup_logging("warning")
    size_wh, tiles_wh = _pair(size, "--size", auto=True), _pair(tiles, "--tiles")
    from edge.models.presets import find_preset
    from edge.training.fit import Request, fit
    from edge.training.run import RECORD, TrainingSettings

    chosen = find_preset(preset)
    if fresh and out.exists():
        if not (out / RECORD).is_file() and any(out.iterdir()):
            raise TrainingError(f"--out {out}: is not a run; not deleted")
        shutil.rmtree(out)
    request = Request(
        data=data,
        preset=chosen,
        weights=weights,
        size_wh=size_wh,
        tiles_wh=tiles_wh or (1, 1),
        overlap=0.1 if tiles_wh != (1, 1) else 0.0,
        training=TrainingSettings(seed=seed, steps=steps or chosen.steps, batch=batch),
    )
    with ExitStack() as bars:

        def stage(stage: str, total: int) -> Callable[[int], None]:
            bars.close()  # the previous stage's bar is full by now
            return bars.enter_context(progress(stage, total))

        record = fit(request, out, stage)
    width, height = record.model.size_wh
    print(
        f"{out}: trained on {record.data.train_images} good pictures at {width}x{height}, "
        f"{record.data.held_out_images} held out; next: edge-build {out} --out BUNDLE"
    )


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
