"""The methods behind edge-train: from options to a trained run, and what to say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import ConfigError

if TYPE_CHECKING:
    from edge.methods.run_record import RunRecord
    from edge.training.progress import Progress


def inp_former(
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
    """Train INP-Former, and say what became of the refined mask."""
    tiles_wh = pair(tiles, "--tiles")
    if refine and "head" in plus:
        raise ConfigError("--refine: the mask takes the place of --plus head; give one of the two")
    from edge.methods.inp_former.fit import Request, fit
    from edge.methods.inp_former.plus import HEAD_CHANNELS
    from edge.methods.presets import find_preset
    from edge.methods.run_record import TrainingSettings

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
        training=TrainingSettings.model_validate(chosen_options | given(training)),
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


def promptmad(
    data: tuple[Path, ...],
    out: Path,
    preset: str,
    weights: str | None,
    size_wh: tuple[int, int] | None,
    types: tuple[str, ...],
    training: Mapping[str, int | None],
    stage: Progress,
) -> RunRecord:
    """Train PromptMAD."""
    from edge.methods.presets import find_preset
    from edge.methods.promptmad.fit import Request, fit
    from edge.methods.promptmad.training_settings import PromptTraining

    if len(data) > 1:
        raise ConfigError(f"--data: promptmad prompts with one product's picture, got {len(data)}")
    request = Request(
        data=data[0],
        preset=find_preset(preset),
        weights=weights,
        size_wh=size_wh,
        types=types,
        training=PromptTraining.model_validate(given(training)),
    )
    return fit(request, out, stage)


def multiads(
    asked: Mapping[str, Any], training: Mapping[str, int], out: Path, stage: Progress
) -> RunRecord:
    """Train MultiADS."""
    from edge.methods.multiads.fit import fit
    from edge.methods.multiads.training_set import Request
    from edge.methods.multiads.training_settings import AdapterTraining

    request = Request(**asked, training=AdapterTraining.model_validate(training))
    return _told(fit(request, out, stage), out)


def dapo(
    asked: Mapping[str, Any], training: Mapping[str, int], out: Path, stage: Progress
) -> RunRecord:
    """Train DAPO."""
    from edge.methods.dapo.fit import DapoRequest, fit
    from edge.methods.dapo.training_settings import DapoTraining

    request = DapoRequest(**asked, training=DapoTraining.model_validate(training))
    return _told(fit(request, out, stage), out)


def mavis(
    asked: Mapping[str, Any], training: Mapping[str, int], out: Path, stage: Progress
) -> RunRecord:
    """Train MultiADS with MAVIS' N-pair loss, and say what became of the negation error."""
    from edge.methods.mavis.fit import MavisRequest, fit
    from edge.methods.mavis.training_settings import NegationTraining

    request = MavisRequest(**asked, training=NegationTraining.model_validate(training))
    record = _told(fit(request, out, stage), out)
    learned = record.adapters
    assert learned is not None  # noqa: S101 - narrowing only
    assert learned.best_epoch is not None  # noqa: S101 - training has finished
    errors = learned.negation_errors
    print(
        f"{out}: on validation pictures, good cells nearest to a defect's text "
        f"{_change(errors[0], errors[learned.best_epoch])} (epoch {learned.best_epoch})"
    )
    return record


def _told(record: RunRecord, out: Path) -> RunRecord:
    """Say which pictures test nothing any more."""
    learned = record.adapters
    if learned is not None and learned.own_defects:
        print(
            f"{out}: learned from {len(learned.own_defects)} labelled defects of "
            f"{record.data.name} itself; they test nothing any more (see run.yaml)"
        )
    return record


def types(
    source: Path | None,
    data: tuple[Path, ...],
    out: Path,
    types: tuple[str, ...],
    labelled: int,
    seed: int,
    stage: Progress,
    *,
    negation: bool,
    names_only: bool,
) -> RunRecord:
    """Teach a finished run types, and say how well it tells them apart."""
    from edge.methods.types.fit import Request, fit_types

    if source is None:
        raise ConfigError("--run: expected the finished inp-former run that is to name defects")
    request = Request(
        run=source, data=data, labelled=labelled, types=types, negation=negation,
        names_only=names_only, seed=seed,
    )  # fmt: skip
    record = fit_types(request, out, stage)
    told = record.types
    assert told is not None  # noqa: S101 - narrowing only
    right = "unknown" if told.accuracy is None else f"{told.accuracy:.0%}"
    print(
        f"{out}: names {', '.join(record.model.types)}; {right} of labelled regions right when "
        f"their part was left out; {len(told.own_defects)} labelled pictures of "
        f"{record.data.name} itself test nothing any more (see {out.name}/run.yaml)"
    )
    if told.probe is not None:
        found = told.probe
        outcome = "the map has learned" if found.is_kept else "the map does not use what it learned"
        print(
            f"{out}: {outcome} from {found.defects} labelled defects: image AUROC on labelled "
            f"parts left out {found.auroc_before:.3f} -> {found.auroc_after:.3f}"
        )
    elif told.own_defects and not names_only:
        print(
            f"{out}: verdicts stay as they were: for the map to learn defects, it must be a "
            "calibrated one, and --data must name the folders of all its products"
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


def given(options: Mapping[str, int | None]) -> dict[str, int]:
    """Options that were given; the rest keep their method's default."""
    return {name: value for name, value in options.items() if value is not None}


def pair(text: str, option: str, *, auto: bool = False) -> tuple[int, int] | None:
    """Read two numbers such as 320x256; `auto` stands for None where it is allowed.

    Raises:
        ConfigError: it is something else.
    """
    if auto and text == "auto":
        return None
    left, _, right = text.lower().partition("x")
    if not (left.isdecimal() and right.isdecimal() and int(left) > 0 and int(right) > 0):
        raise ConfigError(f"{option}: expected two numbers such as 320x256, got {text}")
    return int(left), int(right)
