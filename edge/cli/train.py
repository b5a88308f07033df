"""edge-train: learn a product from pictures of good parts, and defect types from labelled ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.cli import train_methods as methods
from edge.cli.console import make_app, progress, run, setup_logging
from edge.errors import ConfigError, TrainingError

EPILOG = """Examples:\n
  edge-train --data data/pcb_traces --out runs/pcb\n
  edge-train --data good_parts/ --size 320x256 --seed 1 --out runs/housing\n
  edge-train --data data/tiles --preset standard --weights /models/dinov2-small --out runs/tiles\n
  edge-train --data data/a --data data/b --out runs/both\n
  edge-train --data data/new --shots 4 --preset standard --out runs/new\n
  edge-train --method multiads --data data/a --data data/b --target data/c --out runs/c\n
  edge-train --method multiads --data data/a --target data/c --labelled 10 --out runs/c\n
  edge-train --method mavis --data data/a --target data/c --labelled 10 --out runs/c\n
  edge-train --method dapo --data data/a --target data/c --labelled 10 --out runs/c\n
  edge-train --method promptmad --data data/tiles --types "crack,chip" --out runs/tiles\n
  edge-train --method types --run runs/pcb --data data/pcb_traces --labelled 10 --out runs/named
"""
METHODS = ("inp-former", "multiads", "mavis", "dapo", "promptmad", "types")
N_PAIR = ("image", "patch")
WITHOUT = ("text-tokens", "visual-tokens")
PLUS = ("soft-coherence", "squared-mining", "head")
app = make_app()


@app.command(epilog=EPILOG)
def train(
    data: Annotated[
        list[Path],
        typer.Option(
            help="folder with train/good, or of good pictures; several make one model for several "
            "products; multiads, mavis, dapo: folders with labelled defects and masks",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="run folder to write", show_default=False)],
    method: Annotated[
        str,
        typer.Option(
            help="inp-former learns good parts, promptmad too from one good picture and words, "
            "multiads defect types with a backbone of its own, mavis them and that a good part "
            "is none of them, dapo prompts for them inside the text encoder, types teaches a "
            "finished inp-former run to name defects"
        ),
    ] = "inp-former",
    source: Annotated[
        Path | None,
        typer.Option("--run", help="types: the finished inp-former run that is to name defects"),
    ] = None,
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
    refine: Annotated[
        bool | None,
        typer.Option(
            "--refine",
            help="inp-former: try PromptMAD's mask as a branch, and keep it if it wins on "
            "synthetic defects",
            show_default=False,
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
        typer.Option(help="multiads, mavis, dapo: the product to judge; default the last --data"),
    ] = None,
    types: Annotated[
        str | None,
        typer.Option(
            help="multiads, mavis, dapo, types: defect types to tell apart, comma between; "
            "promptmad: defects to describe; default the product's own"
        ),
    ] = None,
    labelled: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="multiads, mavis, dapo, types: labelled defects per type of the judged product to "
            "learn from",
        ),
    ] = None,
    few_shot: Annotated[
        int | None,
        typer.Option(min=0, help="multiads, mavis, dapo: good pictures to remember, default 0"),
    ] = None,
    n_pair: Annotated[
        list[str] | None,
        typer.Option(
            help="mavis: level of the N-pair loss, image or patch; may be given several times; "
            "default patch, with a CLIP both; image on lite trains an image vector"
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="dapo: leave out text-tokens or visual-tokens; may be given several times. "
            "Without visual-tokens, which lite never has, features are computed once instead of in "
            "every step"
        ),
    ] = None,
    legacy_text_path: Annotated[
        bool | None,
        typer.Option(
            "--legacy-text-path",
            help="dapo with a CLIP: text attention in both directions, read as in the released "
            "code",
            show_default=False,
        ),
    ] = None,
    negation: Annotated[
        bool | None,
        typer.Option(
            "--negation",
            help="types: learn with denials, too: a good part lies nearer to 'without scratch' "
            "than to 'scratch'",
            show_default=False,
        ),
    ] = None,
    names_only: Annotated[
        bool | None,
        typer.Option(
            "--names-only",
            help="types: leave map, score and threshold as they are",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="inp-former: default the preset's; promptmad: 1500")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="default multiads 10, dapo 5, mavis 3, more for few pictures"),
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="default 16; others 8")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="delete what --out holds")] = False,
) -> None:
    """Train a detector; a fifth of the good parts is held out for the threshold.

    An interrupted training goes on when the same command is given again.
    """
    setup_logging("warning")
    size_wh = methods.pair(size, "--size", auto=True)
    aligned: dict[str, object] = {
        "--target": target,
        "--types": types,
        "--labelled": labelled,
        "--few-shot": few_shot,
        "--epochs": epochs,
    }
    options: dict[str, dict[str, object]] = {
        "inp-former": {
            "--tiles": tiles,
            "--steps": steps,
            "--shots": shots,
            "--plus": plus or None,
            "--refine": refine,
        },
        "promptmad": {"--types": types, "--steps": steps},
        "multiads": aligned,
        "mavis": aligned | {"--n-pair": n_pair or None},
        "dapo": aligned | {"--without": without or None, "--legacy-text-path": legacy_text_path},
        "types": {
            "--run": source,
            "--types": types,
            "--labelled": labelled,
            "--negation": negation,
            "--names-only": names_only,
        },
    }
    _check_method(method, options)
    _check_choices("--plus", plus or (), PLUS)
    _check_choices("--n-pair", n_pair or (), N_PAIR)
    _check_choices("--without", without or (), WITHOUT)
    _clear(out, fresh=fresh)
    with ExitStack() as bars:

        def stage(stage: str, total: int) -> Callable[[int], None]:
            bars.close()  # the previous stage's bar is full by now
            return bars.enter_context(progress(stage, total))

        names = tuple(name.strip() for name in (types or "").split(",") if name.strip())
        if method == "types":
            record = methods.types(
                source, tuple(data), out, names, labelled or 0, seed, stage,
                negation=bool(negation), names_only=bool(names_only),
            )  # fmt: skip
        elif method in ("multiads", "mavis", "dapo"):
            asked: dict[str, Any] = {
                "data": tuple(data), "target": target, "preset": preset, "weights": weights,
                "size_wh": size_wh, "types": names, "memory_frames": few_shot or 0,
            }  # fmt: skip
            training = {
                "seed": seed, "epochs": epochs, "least_steps": None if epochs is None else 0,
                "batch": batch, "labelled": labelled,
            }  # fmt: skip
            if method == "dapo":
                asked["legacy_text_path"] = bool(legacy_text_path)
                asked |= {name.replace("-", "_"): 0 for name in without or ()}
                record = methods.dapo(asked, methods.given(training), out, stage)
            elif method == "mavis":
                asked["n_pair"] = tuple(n_pair or ())
                record = methods.mavis(asked, methods.given(training), out, stage)
            else:
                record = methods.multiads(asked, methods.given(training), out, stage)
        elif method == "promptmad":
            record = methods.promptmad(
                tuple(data), out, preset, weights, size_wh, names,
                {"seed": seed, "reconstruction_steps": steps, "batch": batch}, stage,
            )  # fmt: skip
        else:
            record = methods.inp_former(
                tuple(data), out, preset, weights, size_wh, tiles or "1x1", plus or (),
                {"seed": seed, "steps": steps, "batch": batch, "shots": shots}, stage,
                branches=branches, refine=bool(refine),
            )  # fmt: skip
    width, height = record.model.size_wh
    print(
        f"{out}: trained on {record.data.train_images} good pictures at {width}x{height}, "
        f"{record.data.held_out_images} held out; next: edge-build {out} --out BUNDLE"
    )


def _check_choices(option: str, given: Sequence[str], known: Sequence[str]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ConfigError(f"{option}: expected one of {', '.join(known)}, got {unknown[0]}")


def _check_method(method: str, options: Mapping[str, Mapping[str, object]]) -> None:
    if method not in METHODS:
        raise ConfigError(f"--method: expected one of {', '.join(METHODS)}, got {method}")
    allowed = options[method]
    for other in METHODS:
        for name, value in options[other].items():
            if name not in allowed and value is not None:
                fitting = " or ".join(known for known in METHODS if name in options[known])
                raise ConfigError(f"{name}: expected with --method {fitting} only, got {method}")


def _clear(out: Path, *, fresh: bool) -> None:
    from edge.methods.run import RECORD

    if fresh and out.exists():
        if not (out / RECORD).is_file() and any(out.iterdir()):
            raise TrainingError(f"--out {out}: is not a run; not deleted")
        shutil.rmtree(out)


def main() -> None:
    """Entry point."""
    run(app)
