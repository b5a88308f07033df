"""From the options of edge-train to the request of a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge.cli.train_options import (
    DapoOptions,
    InpFormerOptions,
    MavisOptions,
    MultiAdsOptions,
    Options,
    PromptMadOptions,
    TypesOptions,
    UpdateOptions,
    listed,
    pair,
)
from edge.errors import ConfigError

# Neighbouring tiles share so much of their side.
TILE_OVERLAP = 0.1
# Trainings that leave parts out, with presets that are cheap to train (docs/adr/0036).
USUAL_FOLDS = 2


def request(method: str, options: Options) -> Any:
    """What `fit` of the method takes.

    Raises:
        ConfigError: options do not fit each other.
    """
    return REQUESTS[method](options)


def _inp_former(options: InpFormerOptions) -> Any:
    tiles_wh = pair(options.tiles, "--tiles")
    if options.refine and "head" in options.plus:
        raise ConfigError("--refine: the mask takes the place of --plus head; give one of the two")
    if options.instant and (untaken := _of_training(options)):
        raise ConfigError(f"--instant: trains nothing, so {untaken} does not go with it")
    from edge.methods.inp_former.plus import HEAD_CHANNELS
    from edge.methods.inp_former.request import Request
    from edge.methods.inp_former.training_settings import TrainingSettings
    from edge.methods.presets import find_preset

    preset = find_preset(options.preset)
    training = TrainingSettings(
        seed=options.seed,
        soft_coherence="soft-coherence" in options.plus,
        squared_mining="squared-mining" in options.plus,
        steps=options.steps or preset.steps,
        folds=_folds(options, is_lite=preset.vit is None),
        trim=options.trim,
        augment=options.augment,
        **_given(batch=options.batch, shots=options.shots),
    )
    return Request(
        data=options.data,
        preset=preset,
        weights=options.weights,
        size_wh=options.size_wh,
        tiles_wh=tiles_wh,
        overlap=TILE_OVERLAP if tiles_wh != (1, 1) else 0.0,
        geometry=_geometry(options.geometry),
        training=training,
        head=HEAD_CHANNELS if "head" in options.plus else None,
        branches=options.branches,
        refine=options.refine,
        instant=options.instant,
    )


def _folds(options: InpFormerOptions, *, is_lite: bool) -> int:
    """Trainings that leave parts out; none where they would be dear or are not possible."""
    if options.folds is not None:
        return options.folds
    is_plain = not (options.shots or options.instant or options.refine or "head" in options.plus)
    return USUAL_FOLDS if is_lite and is_plain and options.branches else 0


def _of_training(options: InpFormerOptions) -> str:
    """The first option given that says how to train; empty if there is none."""
    given = {
        "--steps": options.steps is not None,
        "--batch": options.batch is not None,
        "--shots": options.shots is not None,
        "--folds": options.folds is not None,
        "--trim": options.trim,
        "--augment": options.augment,
        "--plus": bool(options.plus),
        "--refine": options.refine,
        "--no-branches": not options.branches,
    }
    return next((name for name, is_given in given.items() if is_given), "")


def _promptmad(options: PromptMadOptions) -> Any:
    if len(options.data) > 1:
        raise ConfigError(
            f"--data: promptmad prompts with one product's picture, got {len(options.data)}"
        )
    from edge.methods.presets import find_preset
    from edge.methods.promptmad.request import Request
    from edge.methods.promptmad.training_settings import PromptTraining

    return Request(
        data=options.data[0],
        preset=find_preset(options.preset),
        weights=options.weights,
        size_wh=options.size_wh,
        types=listed(options.types),
        geometry=_geometry(options.geometry),
        training=PromptTraining(
            seed=options.seed, **_given(reconstruction_steps=options.steps, batch=options.batch)
        ),
    )


def _multiads(options: MultiAdsOptions) -> Any:
    from edge.methods.multiads.training_set import Request
    from edge.methods.multiads.training_settings import AdapterTraining

    training = AdapterTraining(**_epochs(options))
    return Request(**_product(options), training=training)


def _mavis(options: MavisOptions) -> Any:
    from edge.methods.mavis.fit import MavisRequest
    from edge.methods.mavis.training_settings import NegationTraining

    training = NegationTraining(**_epochs(options))
    levels: Any = options.n_pair  # two words, see MavisOptions.CHOICES
    return MavisRequest(**_product(options), training=training, n_pair=levels)


def _dapo(options: DapoOptions) -> Any:
    from edge.methods.dapo.fit import DapoRequest
    from edge.methods.dapo.training_settings import DapoTraining

    left_out: dict[str, Any] = {name.replace("-", "_"): 0 for name in options.without}
    return DapoRequest(
        **_product(options),
        training=DapoTraining(**_epochs(options)),
        legacy_text_path=options.legacy_text_path,
        **left_out,
    )


def _types(options: TypesOptions) -> Any:
    if options.run is None:
        raise ConfigError("--run: expected the finished inp-former run that is to name defects")
    from edge.methods.types.fit import Request

    return Request(
        run=options.run,
        data=options.data,
        labelled=options.labelled,
        types=listed(options.types),
        negation=options.negation,
        names_only=options.names_only,
        false_rejects=options.false_rejects,
        seed=options.seed,
    )


def _update(options: UpdateOptions) -> Any:
    for name in ("run", "reviews"):
        if getattr(options, name) is None:
            raise ConfigError(
                f"--{name}: --method update learns from reviews of a finished inp-former run; give "
                "--run and --reviews"
            )
    from edge.methods.update.fit import Request

    return Request(
        run=Path(options.run or ""),
        reviews=Path(options.reviews or ""),
        archive=options.archive,
        data=options.data,
        accept_worse=options.accept_worse,
        seed=options.seed,
    )


def _product(options: MultiAdsOptions) -> dict[str, Any]:
    """Data, network and types of a request that MultiADS and its kin share."""
    return {
        "data": options.data,
        "target": options.target,
        "preset": options.preset,
        "weights": options.weights,
        "size_wh": options.size_wh,
        "types": listed(options.types),
        "memory_frames": options.few_shot,
        "geometry": _geometry(options.geometry),
    }


def _geometry(path: Path | None) -> Any:
    """What the geometry file says; None without one."""
    if path is None:
        return None
    from edge.geometry.geometry import read_geometry

    return read_geometry(path)


def _epochs(options: MultiAdsOptions) -> dict[str, Any]:
    """Training settings; who gives --epochs wants no more of them for few pictures."""
    least_steps = None if options.epochs is None else 0
    return _given(
        seed=options.seed, epochs=options.epochs, least_steps=least_steps, batch=options.batch,
        labelled=options.labelled,
    )  # fmt: skip


def _given(**values: int | None) -> dict[str, Any]:
    """What was given; the rest keeps the method's default."""
    return {name: value for name, value in values.items() if value is not None}


REQUESTS: Mapping[str, Callable[[Any], Any]] = {
    "inp-former": _inp_former,
    "multiads": _multiads,
    "mavis": _mavis,
    "dapo": _dapo,
    "promptmad": _promptmad,
    "types": _types,
    "update": _update,
}
