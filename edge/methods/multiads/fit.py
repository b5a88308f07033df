"""From labelled products and a target's good parts to a finished MultiADS run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edge.data.frame_record import write_frames
from edge.data.frames import Image, InputShape, input_batches
from edge.data.golden_pictures import write_golden
from edge.data.image_set import ImageSet, Sample, frame_size
from edge.evaluation.multi_type_segmentation import over_products, segmentation
from edge.methods.multiads.inputs import TypedInputs, draw_mosaics, extract, prepare
from edge.methods.multiads.network import MultiAdsDetector, TypeAdapters
from edge.methods.multiads.presets import default_weights, multiads_settings, text_encoder
from edge.methods.multiads.run_record import new_record, with_outcome
from edge.methods.multiads.settings import MultiAdsSettings
from edge.methods.multiads.trainer import AdapterTrainer, EpochTrainer, Shapes
from edge.methods.multiads.training_set import Request, TrainingSet, plan, read_target, target_types
from edge.methods.multiads.training_settings import AdapterTraining
from edge.methods.run import read_record, start_run, write_model, write_record
from edge.methods.run_record import RunRecord
from edge.networks.features import PyramidFeatures
from edge.networks.text.bank import TextBank
from edge.networks.weights import load_backbone
from edge.training.progress import Progress
from edge.training.run_folder import FEATURES, Calibration, write_calibration

# Pictures that set the scale of the feature groups.
SCALE_PICTURES = 64
JUDGE_BATCH = 8


def fit(request: Request, folder: Path, progress: Progress) -> RunRecord:
    """Train a run into `folder`; called again on an unfinished run, go on where it stopped.

    Raises:
        DataError: a data folder cannot be used.
        TrainingError: the folder holds another or a finished run, or training fails.
    """
    training = request.training
    target, parts = read_target(request)
    training_set = plan(request, target, parts[0])
    weights = request.weights or default_weights(request.preset)
    bank = TextBank(text_encoder(request.preset, weights))
    settings = detector_settings(request, weights, target, parts[0], training_set, bank)
    record = new_record(request, training_set, target, parts, weights, settings)
    record = start_run(folder, record)
    detector = build(settings, record, bank)
    set_scale(detector, [picture.sample for picture in training_set.train])
    trainer = _train(detector, training_set, training, folder, bank, progress)
    return finish_run(folder, record, request, detector, trainer, parts, progress)


def detector_settings(
    request: Request,
    weights: str,
    target: ImageSet,
    good: Sequence[Sample],
    training_set: TrainingSet,
    bank: TextBank,
) -> MultiAdsSettings:
    """What the request's detector is made of."""
    return multiads_settings(
        request.preset,
        weights,
        frame_size(good),
        request.size_wh,
        target.name,
        target_types(request, target, training_set),
        bank.width,
        request.memory_frames,
        request.order,
    )


def finish_run(
    folder: Path,
    record: RunRecord,
    request: Request,
    detector: MultiAdsDetector,
    trainer: EpochTrainer,
    parts: tuple[Sequence[Sample], Sequence[Sample]],
    progress: Progress,
) -> RunRecord:
    """Fill the memory, calibrate, and write everything of a trained run.

    `parts` are the target's good parts and those of them held out.
    """
    good, held_out = parts
    if request.memory_frames:
        _remember(detector, good, request)
    calibration = calibrate(detector, held_out, progress("calibration", len(held_out)))
    write_calibration(folder, calibration)
    write_frames(folder, (*good, *held_out))
    write_golden(folder, held_out, calibration.scores, request.training.seed)
    write_record(folder, with_outcome(record, trainer.outcome))
    write_model(folder, detector)
    trainer.clear()
    shutil.rmtree(folder / FEATURES)
    return read_record(folder)


@torch.no_grad()
def set_scale(detector: MultiAdsDetector, samples: Sequence[Sample]) -> None:
    """Bring the groups of a feature pyramid to unit root mean square over some pictures.

    A trained image vector gets its standardisation from the same.
    """
    features = detector.features
    if not isinstance(features, PyramidFeatures):
        return
    some = samples[:: max(1, len(samples) // SCALE_PICTURES)]
    squares = [
        torch.stack([group.square().mean() for group in extract(detector, inputs)])
        for inputs in frame_batches(detector, some)
    ]
    features.set_scale(torch.stack(squares).mean(0))
    head = detector.image_head
    if head is not None:
        batches = frame_batches(detector, some)
        head.standardise(torch.cat([head.pooled(extract(detector, inputs)) for inputs in batches]))


@torch.no_grad()
def calibrate(
    detector: MultiAdsDetector, samples: Sequence[Sample], advance: Callable[[int], None]
) -> Calibration:
    """Fix the branches' scales on held-out good parts, then score those parts."""
    branches: list[Tensor] = []
    images: list[Tensor] = []
    for inputs in frame_batches(detector, samples):
        groups, image = detector.extract(torch.from_numpy(inputs))
        branches.append(detector.branches(groups, detector.adapters(groups, detector.bank)))
        images += [] if image is None else [image]
        advance(len(inputs))
    together, vectors = torch.cat(branches), torch.cat(images) if images else None
    detector.calibrate(together, vectors)
    scores = detector.judge(together, vectors)[1]
    return Calibration(
        files=tuple(sample.path.name for sample in samples),
        groups=tuple(sample.group for sample in samples),
        scores=tuple(float(score) for score in scores),
    )


@torch.no_grad()
def validation_ap(
    detector: MultiAdsDetector,
    adapters: TypeAdapters,
    inputs: TypedInputs,
    banks: Tensor,
    rows: Sequence[Sequence[int]],
) -> float:
    """Macro AP of multi-type segmentation, mean over products, each over its own list.

    Args:
        detector: gives the features.
        adapters: to validate.
        inputs: labelled pictures.
        banks: (P, C, D) over the training vocabulary.
        rows: bank rows of each product's own list, normal (0) first.
    """
    results = []
    for product, kept in enumerate(rows):
        chosen = np.flatnonzero(inputs.products == product)
        volumes, masks = [], []
        for start in range(0, len(chosen), JUDGE_BATCH):
            cached, ids, _ = inputs.batch([int(i) for i in chosen[start : start + JUDGE_BATCH]])
            groups, _ = detector.resume(cached)
            logits = adapters(groups, banks[product, list(kept)])
            volumes += list(detector.volume(logits).numpy())
            masks += list(np.searchsorted(kept, ids.numpy()))
        if volumes:
            results.append(segmentation(volumes, masks, [str(row) for row in kept]))
    return over_products(results).ap


def training_inputs(
    folder: Path,
    detector: MultiAdsDetector,
    training_set: TrainingSet,
    training: AdapterTraining,
    progress: Progress,
) -> tuple[TypedInputs, TypedInputs]:
    """Inputs to train on, mosaics among them, and inputs to validate on."""
    mosaics = draw_mosaics(
        training_set.train, training.mosaic, np.random.default_rng(training.seed)
    )
    identity = detector.settings.model_dump_json()
    advance = progress(
        "features", len(training_set.train) + len(mosaics) + len(training_set.validation)
    )
    inputs = prepare(folder / "train", detector, training_set.train, mosaics, identity, advance)
    held = prepare(folder / "validation", detector, training_set.validation, (), identity, advance)
    return inputs, held


def _train(
    detector: MultiAdsDetector,
    training_set: TrainingSet,
    training: AdapterTraining,
    folder: Path,
    bank: TextBank,
    progress: Progress,
) -> AdapterTrainer:
    banks = torch.stack(
        [bank.rows(images.name, training_set.vocabulary) for images in training_set.sets]
    )
    inputs, held = training_inputs(folder / FEATURES, detector, training_set, training, progress)
    shapes = Shapes(detector.features.grid_hw, detector.map_hw, detector.settings.order)
    detector.adapters.requires_grad_(True)
    trainer = AdapterTrainer(detector.adapters, banks, shapes, training, folder)
    trainer.run(
        inputs,
        lambda: validation_ap(detector, detector.adapters, held, banks, training_set.rows),
        progress("training", training.epochs_over(inputs.pictures) * inputs.pictures),
    )
    detector.adapters.requires_grad_(False)
    return trainer


def _remember(detector: MultiAdsDetector, good: Sequence[Sample], request: Request) -> None:
    """Fill the few-shot memory with good frames drawn without replacement."""
    rng = np.random.default_rng(request.training.seed)
    chosen = sorted(rng.choice(len(good), request.memory_frames, replace=False))
    inputs = np.concatenate(list(frame_batches(detector, [good[index] for index in chosen])))
    detector.set_memory(extract(detector, inputs))


def build(settings: MultiAdsSettings, record: RunRecord, bank: TextBank) -> MultiAdsDetector:
    """Build an untrained detector with the run's backbone and the texts of its product."""
    torch.manual_seed(record.training.seed)
    detector = MultiAdsDetector(settings)
    load_backbone(detector.features.backbone, record.weights)
    detector.set_texts(bank.rows(settings.product, settings.types))
    return detector.eval().requires_grad_(False)


def frame_batches(detector: MultiAdsDetector, samples: Sequence[Sample]) -> Iterable[Image]:
    """Network inputs of pictures, a batch at a time."""
    return input_batches(samples, InputShape(detector.settings.size_wh), JUDGE_BATCH)
