"""From a data folder to a finished run: split, size, features, training, calibration."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from edge.data.few_shot import FOLDER as SHOTS
from edge.data.few_shot import write_shots
from edge.data.frame_record import write_frames
from edge.data.frames import InputShape, input_batches
from edge.data.golden_pictures import write_golden
from edge.data.image_set import Sample, frame_size
from edge.data.products import Products, read_products
from edge.methods.inp_former.branch_fitting import fit_branches
from edge.methods.inp_former.branches import HEAD, PROBE
from edge.methods.inp_former.calibration import calibrate
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.fusion_fitting import fit_fusion, trial_pictures
from edge.methods.inp_former.mask_refiner import train_refiner
from edge.methods.inp_former.planning import build, network_size, new_record, stored_size
from edge.methods.inp_former.probe_fitting import synthetic_probes, synthetic_units
from edge.methods.inp_former.request import Request
from edge.methods.inp_former.residual_head import head_units, train_head
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.inp_former.trainer import Trainer
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.run import (
    check_same_run,
    start_run,
    unfinished_run,
    write_model,
    write_record,
)
from edge.methods.run_record import RunRecord
from edge.networks.features import PyramidFeatures
from edge.training.feature_cache import cache_features, extract
from edge.training.progress import Progress
from edge.training.run_folder import FEATURES, write_calibration

# Pictures that set the scale of the feature groups.
SCALE_PICTURES = 64
JUDGE_BATCH = 8


def fit(request: Request, folder: Path, progress: Progress) -> RunRecord:
    """Train a run into `folder`; called again on an unfinished run, go on where it stopped.

    Raises:
        DataError: the data folder cannot be used.
        TrainingError: the folder holds another or a finished run, or training fails.
    """
    training = request.training or TrainingSettings(steps=request.preset.steps)
    stored = unfinished_run(folder)
    products = read_products(request.folders, training.seed, training.shots, request.geometry)
    data = products.record(frame_size(products.train))
    if stored is not None:
        size_wh, trials = stored_size(request, folder, stored, data)
        check_same_run(
            folder, stored, new_record(request, training, products, data, size_wh, trials)
        )
    train, held_out = _pictures(folder, products, training, is_new=stored is None)
    if stored is None:
        size_wh, trials = network_size(request, training, train, held_out, data, progress)
        stored = start_run(folder, new_record(request, training, products, data, size_wh, trials))
    write_frames(folder, (*products.train, *products.held_out))
    return _train(folder, stored, training, train, held_out, progress)


def _train(
    folder: Path,
    record: RunRecord,
    training: TrainingSettings,
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    progress: Progress,
) -> RunRecord:
    """Train the run of `record`, and write what belongs to a finished one."""
    assert isinstance(record.model, ModelSettings)  # noqa: S101 - narrowing only
    detector = build(record.model, record.weights, training.seed)
    shape = InputShape(record.model.size_wh, record.tiles_wh, record.overlap)
    _set_scale(detector, train, shape)
    identity = f"{record.model.backbone.model_dump_json()} {record.weights}"
    advance = progress("features", len(train) * shape.tiles)
    cache = cache_features(folder / FEATURES, detector, train, shape, identity, advance)
    trainer = Trainer(detector.inp_former, training, folder)
    trainer.run(cache, progress("training", training.steps))
    if detector.settings.refiner is not None:
        name = record.data.name
        detector, tried = train_refiner(detector, name, train, held_out, shape, training, progress)
        record = record.model_copy(update={"refiner": tried})
    elif HEAD in detector.branches:
        units = head_units(detector, training, shape)
        train_head(detector, train, shape, training, progress("head", units))
    detector = fit_branches(detector, cache, training.seed)
    probes = {}
    if PROBE in detector.branches:
        advance = progress("probe", synthetic_units(train))
        probes = synthetic_probes(detector, train, shape, training, advance)
    advance = progress("branches", len(trial_pictures(held_out)))
    detector = fit_fusion(detector, probes, held_out, shape, training.seed, advance)
    advance = progress("calibration", len(held_out))
    detector, calibration = calibrate(detector, held_out, shape, advance)
    write_calibration(folder, calibration)
    write_golden(folder, held_out, calibration.scores, training.seed)
    # The record changes only now: until here a stopped training finds the one that it began with.
    record = record.model_copy(update={"model": detector.settings})
    write_record(folder, record)
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
    detector.features.set_scale(total / batches)
