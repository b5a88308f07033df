"""edge-train: learn a product from pictures of good parts, and defect types from labelled ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
  edge-train --method multiads --data data/a --target data/c --labelled 10 --out runs/c\n
  edge-train --method dapo --preset standard --data data/a --target data/c --out runs/c\n
  edge-train --method promptmad --data data/tiles --types "crack,chip" --out runs/tiles\n
  edge-train --method types --run runs/pcb --data data/pcb_traces --labelled 10 --out runs/named
"""
METHODS = ("inp-former", "multiads", "dapo", "promptmad", "types")
WITHOUT = ("text-tokens", "visual-tokens")
PLUS = ("soft-coherence", "squared-mining", "head")
app = make_app()


@app.command(epilog=EPILOG)
def train(
    data: Annotated[
        list[Path],
        typer.Option(
            help="folder with train/good, or of good pictures; several make one model for several "
            "products; multiads, dapo: folders with labelled defects and masks",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="run folder to write", show_default=False)],
    method: Annotated[
        str,
        typer.Option(
            help="inp-former learns good parts, promptmad too from one good picture and words, "
            "multiads defect types with a backbone of its own, "
            "dapo prompts for them inside CLIP, types teaches a finished inp-former run to name "
            "defects"
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
        typer.Option(help="multiads, dapo: the product to judge; default the last --data"),
    ] = None,
    types: Annotated[
        str | None,
        typer.Option(
            help="multiads, dapo, types: defect types to tell apart, comma between; promptmad: "
            "defects to describe; default the product's own"
        ),
    ] = None,
    labelled: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="multiads, dapo, types: labelled defects per type of the judged product to learn "
            "from",
        ),
    ] = None,
    few_shot: Annotated[
        int | None, typer.Option(min=0, help="multiads, dapo: good pictures to remember, default 0")
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="dapo: leave out text-tokens or visual-tokens; may be given several times. "
            "Without visual-tokens features are computed once instead of in every step"
        ),
    ] = None,
    legacy_text_path: Annotated[
        bool | None,
        typer.Option(
            "--legacy-text-path",
            help="dapo: text attention in both directions, read as in the released code",
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
    seed: Annotated[int, typer.Option(min=0)] = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="inp-former: default the preset's; promptmad: 1500")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="default multiads 10, dapo 5, more for few pictures"),
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="default 16; others 8")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="delete what --out holds")] = False,
) -> None:
    """Train a detector; a fifth of the good parts is held out for the threshold.

    An interrupted training goes on when the same command is given again.
    """
    setup_logging("warning")
    size_wh = _pair(size, "--size", auto=True)
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
        "dapo": aligned | {"--without": without or None, "--legacy-text-path": legacy_text_path},
        "types": {
            "--run": source,
            "--types": types,
            "--labelled": labelled,
            "--negation": negation,
        },
    }
    _check_method(method, options)
    _check_choices("--plus", plus or (), PLUS)
    _check_choices("--without", without or (), WITHOUT)
    _clear(out, fresh=fresh)
    with ExitStack() as bars:

        def stage(stage: str, total: int) -> Callable[[int], None]:
            bars.close()  # the previous stage's bar is full by now
            return bars.enter_context(progress(stage, total))

        names = tuple(name.strip() for name in (types or "").split(",") if name.strip())
        if method == "types":
            record = _types(
                source, tuple(data), out, names, labelled or 0, seed, stage,
                negation=bool(negation),
            )  # fmt: skip
        elif method in ("multiads", "dapo"):
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
                record = _dapo(asked, _given(training), out, stage)
            else:
                record = _multiads(asked, _given(training), out, stage)
        elif method == "promptmad":
            record = _promptmad(
                tuple(data), out, preset, weights, size_wh, names,
                {"seed": seed, "reconstruction_steps": steps, "batch": batch}, stage,
            )  # fmt: skip
        else:
            record = _inp_former(
                tuple(data), out, preset, weights, size_wh, tiles or "1x1", plus or (),
                {"seed": seed, "steps": steps, "batch": batch, "shots": shots}, stage,
                branches=branches, refine=bool(refine),
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
    refine: bool,
) -> RunRecord:
    tiles_wh = _pair(tiles, "--tiles")
    if refine and "head" in plus:
        raise ConfigError("--refine: the mask takes the place of --plus head; give one of the two")
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
        refine=refine,
    )
    record = fit(request, out, stage)
    trial = record.refiner
    if trial is not None:
        print(
            f"{out}: refined mask {'kept' if trial.is_kept else 'left out'}: pixel AP on synthetic "
            f"defects {trial.without:.3f} without, {trial.with_mask:.3f} with it"
        )
    return record


def _promptmad(
    data: tuple[Path, ...],
    out: Path,
    preset: str,
    weights: str | None,
    size_wh: tuple[int, int] | None,
    types: tuple[str, ...],
    training: Mapping[str, int | None],
    stage: Progress,
) -> RunRecord:
    from edge.models.presets import find_preset
    from edge.training.promptmad.fit import Request, fit
    from edge.training.promptmad.settings import PromptTraining

    if len(data) > 1:
        raise ConfigError(f"--data: promptmad prompts with one product's picture, got {len(data)}")
    request = Request(
        data=data[0],
        preset=find_preset(preset),
        weights=weights,
        size_wh=size_wh,
        types=types,
        training=PromptTraining.model_validate(_given(training)),
    )
    return fit(request, out, stage)


def _multiads(
    asked: Mapping[str, Any], training: Mapping[str, int], out: Path, stage: Progress
) -> RunRecord:
    from edge.training.multiads.fit import fit
    from edge.training.multiads.lesson import Request
    from edge.training.multiads.settings import AdapterTraining

    request = Request(**asked, training=AdapterTraining.model_validate(training))
    return _told(fit(request, out, stage), out)


def _dapo(
    asked: Mapping[str, Any], training: Mapping[str, int], out: Path, stage: Progress
) -> RunRecord:
    from edge.training.dapo.fit import DapoRequest, fit
    from edge.training.dapo.settings import DapoTraining

    request = DapoRequest(**asked, training=DapoTraining.model_validate(training))
    return _told(fit(request, out, stage), out)


def _told(record: RunRecord, out: Path) -> RunRecord:
    """Say which pictures test nothing any more."""
    learned = record.adapters
    if learned is not None and learned.own_defects:
        print(
            f"{out}: learned from {len(learned.own_defects)} labelled defects of "
            f"{record.data.name} itself; they test nothing any more (see run.yaml)"
        )
    return record


def _types(
    source: Path | None,
    data: tuple[Path, ...],
    out: Path,
    types: tuple[str, ...],
    labelled: int,
    seed: int,
    stage: Progress,
    *,
    negation: bool,
) -> RunRecord:
    from edge.training.type_branch import Request, fit_types

    if source is None:
        raise ConfigError("--run: expected the finished inp-former run that is to name defects")
    request = Request(
        run=source, data=data, labelled=labelled, types=types, negation=negation, seed=seed
    )
    record = fit_types(request, out, stage)
    told = record.types
    assert told is not None  # noqa: S101 - narrowing only
    right = "unknown" if told.accuracy is None else f"{told.accuracy:.0%}"
    print(
        f"{out}: names {', '.join(record.model.types)}; {right} of labelled regions right when "
        f"their part was left out; {len(told.own_defects)} labelled pictures of "
        f"{record.data.name} itself test nothing any more (see {out.name}/run.yaml)"
    )
    if told.negation is not None:
        changed = told.negation
        print(
            f"{out}: on unseen parts, good regions nearest to a defect's text "
            f"{_change(changed.error_before, changed.error_after)}, nearer to a type than to its "
            f"denial {_change(changed.denials_before, changed.denials_after)}, types right "
            f"{_change(changed.accuracy_before, told.accuracy)}"
        )
    return record


def _change(before: float | None, after: float | None) -> str:
    return " -> ".join("unknown" if share is None else f"{share:.1%}" for share in (before, after))


def _given(options: Mapping[str, int | None]) -> dict[str, int]:
    """Options that were given; the rest keep their method's default."""
    return {name: value for name, value in options.items() if value is not None}


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
