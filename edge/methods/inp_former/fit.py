"""From a data folder to a finished run: split, size, features, training, calibration."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edge import __version__
from edge.data.few_shot import FOLDER as SHOTS
from edge.data.few_shot import write_shots
from edge.data.frames import InputShape, input_batches
from edge.data.golden_pictures import write_golden
from edge.data.image_set import Sample, frame_size
from edge.data.products import Products, read_products
from edge.errors import TrainingError
from edge.inspection.frame_quality import grey_statistics
from edge.methods.inp_former.branch_fitting import (
    align_before,
    align_image,
    align_score,
    fill_branches,
    trial_pictures,
    weigh_branches,
    with_branches,
)
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.mask_refiner import train_refiner, with_refiner
from edge.methods.inp_former.probe_fitting import synthetic_probes, synthetic_units
from edge.methods.inp_former.residual_head import head_units, train_head, with_head
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.inp_former.sizing import best_size, choose_size
from edge.methods.inp_former.trainer import Trainer
from edge.methods.presets import Preset, candidate_sizes, model_settings
from edge.methods.promptmad.refiner import ReconstructionMask
from edge.methods.run import (
    FEATURES,
    MODEL,
    RECORD,
    Calibration,
    read_record,
    write_calibration,
    write_model,
    write_record,
)
from edge.methods.run_record import RunRecord, SizeTrial, TrainingSettings
from edge.networks.features import PyramidFeatures
from edge.networks.weights import load_backbone
from edge.training.feature_cache import cache_features, extract
from edge.training.progress import Progress

# Pictures that set the scale of the feature groups.
SCALE_PICTURES = 64
JUDGE_BATCH = 8


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller asks for; None means the preset's choice.

    `size_wh` None chooses by trial on synthetic defects when the preset has several sizes. Several
    folders in `data` make one model for several products; `head` gives the hidden channels of
    INP-Former++'s residual head, None leaves it out; `refine` tries PromptMAD's mask in its place;
    `branches` False lets INP-Former judge alone.
    """

    data: Path | Sequence[Path]
    preset: Preset
    weights: str | None = None
    size_wh: tuple[int, int] | None = None
    tiles_wh: tuple[int, int] = (1, 1)
    overlap: float = 0.0
    training: TrainingSettings | None = None
    head: tuple[int, int] | None = None
    branches: bool = True
    refine: bool = False

    @property
    def folders(self) -> tuple[Path, ...]:
        """Data folders, one per product."""
        return (self.data,) if isinstance(self.data, Path) else tuple(self.data)


def fit(request: Request, folder: Path, progress: Progress) -> RunRecord:
    """Train a run into `folder`; called again on an unfinished run, go on where it stopped.

    Raises:
        DataError: the data folder cannot be used.
        TrainingError: the folder holds another or a finished run, or training fails.
    """
    training = request.training or TrainingSettings(steps=request.preset.steps)
    products = read_products(request.folders, training.seed, training.shots)
    unfinished = _resume(folder, request, training) if (folder / RECORD).is_file() else None
    train, held_out = _pictures(folder, products, training, is_new=unfinished is None)
    record = unfinished or _new_record(request, training, products, train, progress)
    write_record(folder, record)
    if not isinstance(record.model, ModelSettings):
        raise TrainingError(f"--out {folder}: holds a run of another method; choose another folder")
    detector = _build(record.model, record.weights, training.seed)
    shape = InputShape(record.model.size_wh, record.tiles_wh, record.overlap)
    _set_scale(detector, train, shape)
    identity = f"{record.model.backbone.model_dump_json()} {record.weights}"
    advance = progress("features", len(train) * shape.tiles)
    cache = cache_features(folder / FEATURES, detector, train, shape, identity, advance)
    trainer = Trainer(detector.inp_former, training, folder)
    trainer.run(cache, progress("training", training.steps))
    if isinstance(detector.head, ReconstructionMask):
        name = record.data.name
        detector, tried = train_refiner(detector, name, train, held_out, shape, training, progress)
        record = record.model_copy(update={"refiner": tried})
    elif detector.head is not None:
        units = head_units(detector, training, shape)
        train_head(detector, train, shape, training, progress("head", units))
    fill_branches(detector, cache, training.seed)
    probes = {}
    if detector.probe is not None:
        advance = progress("probe", synthetic_units(train))
        probes = synthetic_probes(detector, train, shape, training, advance)
    advance = progress("branches", len(trial_pictures(held_out)))
    detector = weigh_branches(detector, probes, held_out, shape, training.seed, advance)
    record = record.model_copy(update={"model": detector.settings})
    write_record(folder, record)
    calibration = calibrate(detector, held_out, shape, progress("calibration", len(held_out)))
    write_calibration(folder, calibration)
    write_golden(folder, held_out, calibration.scores, training.seed)
    write_model(folder, detector)
    trainer.clear()
    shutil.rmtree(folder / FEATURES)
    shutil.rmtree(folder / SHOTS, ignore_errors=True)
    return record


def _pictures(
    folder: Path, products: Products, training: TrainingSettings, *, is_new: bool
) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """Pictures to train on, as files that last as long as the training, and those held out."""
    folder.mkdir(parents=True, exist_ok=True)
    if training.shots is None:
        return products.train, products.held_out
    if is_new:
        shutil.rmtree(folder / SHOTS, ignore_errors=True)
    return write_shots(folder / SHOTS, products.train), products.held_out


def _resume(folder: Path, request: Request, training: TrainingSettings) -> RunRecord:
    record = read_record(folder)
    if (folder / MODEL).is_file():
        raise TrainingError(f"--out {folder}: holds a finished run; choose another, or --fresh")
    weights = request.weights or request.preset.weights
    asked = (request.preset.name, weights, request.tiles_wh, request.overlap, training)
    found = (record.preset, record.weights, record.tiles_wh, record.overlap, record.training)
    is_other = isinstance(record.model, ModelSettings) and (
        request.size_wh not in (None, record.model.size_wh)
        or request.head != record.model.inp_former.head
        or request.refine != (record.model.refiner is not None or record.refiner is not None)
    )
    if asked != found or is_other:
        raise TrainingError(
            f"--out {folder}: holds an unfinished run with other options (see {RECORD}); "
            "repeat those, choose another folder, or --fresh"
        )
    if request.refine and isinstance(record.model, ModelSettings):
        # It may have been stopped after the trial that took the refiner or its steps away.
        fresh = with_refiner(record.model, record.data.name)
        return record.model_copy(update={"model": fresh})
    return record


def _new_record(
    request: Request,
    training: TrainingSettings,
    products: Products,
    train: Sequence[Sample],
    progress: Progress,
) -> RunRecord:
    preset, frame_wh = request.preset, frame_size(products.train)
    weights = request.weights or preset.weights
    tile_wh = tuple(side // count for side, count in zip(frame_wh, request.tiles_wh, strict=True))
    size_wh = request.size_wh
    trials: tuple[SizeTrial, ...] = ()
    if size_wh is None:
        candidates = candidate_sizes(preset, (tile_wh[0], tile_wh[1]))
        size_wh = candidates[0]
        if len(candidates) > 1 and request.tiles_wh == (1, 1):
            trials = choose_size(
                candidates,
                lambda size: _build(model_settings(preset, size, weights), weights, 0),
                train,
                products.held_out,
                training.seed,
                progress("network size", len(candidates)),
            )
            size_wh = best_size(trials)
    model = with_head(model_settings(preset, size_wh, weights), request.head)
    if request.refine:
        model = with_refiner(model, products.record(frame_wh).name)
    return RunRecord(
        created_by=f"edge-inspection {__version__}",
        created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        preset=preset.name,
        weights=weights,
        data=products.record(frame_wh),
        tiles_wh=request.tiles_wh,
        overlap=request.overlap,
        model=with_branches(
            model,
            len({sample.group for sample in products.held_out}) if request.branches else None,
        ),
        training=training,
        size_trials=trials,
    )


def _build(settings: ModelSettings, weights: str, seed: int) -> Detector:
    torch.manual_seed(seed)
    detector = Detector(settings)
    load_backbone(detector.features.backbone, weights)
    return detector.eval()


def _set_scale(detector: Detector, train: Sequence[Sample], shape: InputShape) -> None:
    """Bring the groups of a feature pyramid to unit root mean square."""
    if not isinstance(detector.features, PyramidFeatures):
        return
    some = train[:: max(1, len(train) // SCALE_PICTURES)]
    total = torch.zeros_like(detector.features.rms)
    batches = 0
    for inputs in input_batches(some, shape):
        groups = extract(detector, inputs)
        total += torch.stack([group.square().mean() for group in groups])
        batches += 1
    detector.features.rms.copy_((total / batches).sqrt().clamp_min(1e-6))


@torch.no_grad()
def calibrate(
    detector: Detector,
    samples: Sequence[Sample],
    shape: InputShape,
    advance: Callable[[int], None],
) -> Calibration:
    """Fix the branches' scales on held-out good parts, then score those parts.

    The published map chain has no scales: its branches stay as they are. Features come from the
    pictures, not from a half-precision cache: the threshold will stand on one of these very scores.
    """
    branches, distances, grey = [], [], []
    for inputs in input_batches(samples, shape, JUDGE_BATCH):
        groups = extract(detector, inputs)
        branches.append(detector.branches(groups))
        distances.append(detector.image_distance(groups))
        grey += [grey_statistics(tile) for tile in inputs]
        advance(len(inputs) // shape.tiles)
    together: Tensor = torch.cat(branches)
    if detector.settings.map.chain == "calibrated":
        detector.fuse.calibrate(together)
    align_before(detector, together)
    align_score(detector, together)
    whole = None
    if detector.image is not None:
        whole = torch.cat([distance for distance in distances if distance is not None])
        align_image(detector, detector.judge(together).score, whole)
    scores = detector.judge(together, whole).score.reshape(len(samples), shape.tiles).amax(dim=1)
    frames = np.array(grey).reshape(len(samples), shape.tiles, 2).mean(axis=1)
    return Calibration(
        files=tuple(sample.path.name for sample in samples),
        groups=tuple(sample.group for sample in samples),
        scores=tuple(float(score) for score in scores),
        grey=tuple((float(mean), float(std)) for mean, std in frames),
    )
