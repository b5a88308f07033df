"""From labelled products and a target's good parts to a finished MultiADS run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edge import __version__
from edge.errors import TrainingError
from edge.models.features import PyramidFeatures
from edge.models.multiads import MultiAdsDetector
from edge.models.multiads_presets import default_weights, multiads_settings, text_encoder
from edge.models.multiads_settings import MultiAdsSettings
from edge.models.text.bank import TextBank
from edge.models.weights import load_backbone
from edge.training.dataset import ImageSet, Sample, hold_out, read_image_set
from edge.training.fit import Progress, frame_size
from edge.training.frames import Image, InputShape, input_batches
from edge.training.golden import write_golden
from edge.training.mtas import over_products, segmentation
from edge.training.multiads.inputs import TypedInputs, draw_mosaics, extract, prepare
from edge.training.multiads.lesson import Lesson, Request, plan, target_types
from edge.training.multiads.settings import AdapterTraining
from edge.training.multiads.trainer import AdapterTrainer, Shapes
from edge.training.run import (
    FEATURES,
    MODEL,
    RECORD,
    AdapterRecord,
    Calibration,
    DataRecord,
    RunRecord,
    read_record,
    write_calibration,
    write_model,
    write_record,
)
from edge.vision.quality import grey_statistics

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
    target = read_image_set(request.target or request.data[-1])
    if not target.train:
        raise TrainingError(f"--target {target.name}: no pictures in train/good")
    good, held_out = hold_out(target.train, target.has_groups, training.seed)
    lesson = plan(request, target, good)
    weights = request.weights or default_weights(request.preset)
    bank = TextBank(text_encoder(request.preset, weights))
    record = _record(request, lesson, target, (good, held_out), weights, bank.width)
    record = _start(folder, record)
    detector = _build(record, bank)
    set_scale(detector, [picture.sample for picture in lesson.train])
    trainer = _train(detector, lesson, training, folder, bank, progress)
    if request.memory_frames:
        _remember(detector, good, request)
    calibration = calibrate(detector, held_out, progress("calibration", len(held_out)))
    write_calibration(folder, calibration)
    write_golden(folder, held_out, calibration.scores, training.seed)
    write_record(folder, _finished(record, trainer))
    write_model(folder, detector)
    trainer.clear()
    shutil.rmtree(folder / FEATURES)
    return read_record(folder)


@torch.no_grad()
def set_scale(detector: MultiAdsDetector, samples: Sequence[Sample]) -> None:
    """Bring the groups of a feature pyramid to unit root mean square over some pictures."""
    features = detector.features
    if not isinstance(features, PyramidFeatures):
        return
    some = samples[:: max(1, len(samples) // SCALE_PICTURES)]
    squares = [
        torch.stack([group.square().mean() for group in extract(detector, inputs)])
        for inputs in _network_inputs(detector, some)
    ]
    features.rms.copy_(torch.stack(squares).mean(0).sqrt().clamp_min(1e-6))


@torch.no_grad()
def calibrate(
    detector: MultiAdsDetector, samples: Sequence[Sample], advance: Callable[[int], None]
) -> Calibration:
    """Fix the branches' scales on held-out good parts, then score those parts."""
    branches: list[Tensor] = []
    images: list[Tensor] = []
    grey: list[tuple[float, float]] = []
    for inputs in _network_inputs(detector, samples):
        groups, image = detector.extract(torch.from_numpy(inputs))
        branches.append(detector.branches(groups, detector.adapters(groups, detector.bank)))
        images += [] if image is None else [image]
        grey += [grey_statistics(picture) for picture in inputs]
        advance(len(inputs))
    together, vectors = torch.cat(branches), torch.cat(images) if images else None
    detector.calibrate(together, vectors)
    scores = detector.judge(together, vectors)[1]
    return Calibration(
        files=tuple(sample.path.name for sample in samples),
        groups=tuple(sample.group for sample in samples),
        scores=tuple(float(score) for score in scores),
        grey=tuple(grey),
    )


@torch.no_grad()
def validation_ap(
    detector: MultiAdsDetector,
    inputs: TypedInputs,
    banks: Tensor,
    rows: Sequence[Sequence[int]],
) -> float:
    """Macro AP of multi-type segmentation, mean over products, each over its own list.

    Args:
        detector: with the adapters to judge.
        inputs: labelled pictures.
        banks: (P, C, D) over the training vocabulary.
        rows: bank rows of each product's own list, normal (0) first.
    """
    results = []
    for product, kept in enumerate(rows):
        chosen = np.flatnonzero(inputs.products == product)
        volumes, masks = [], []
        for start in range(0, len(chosen), JUDGE_BATCH):
            groups, ids, _ = inputs.batch([int(i) for i in chosen[start : start + JUDGE_BATCH]])
            logits = detector.adapters(groups, banks[product, list(kept)])
            volumes += list(detector.volume(logits).numpy())
            masks += list(np.searchsorted(kept, ids.numpy()))
        if volumes:
            results.append(segmentation(volumes, masks, [str(row) for row in kept]))
    return over_products(results).ap


def _train(
    detector: MultiAdsDetector,
    lesson: Lesson,
    training: AdapterTraining,
    folder: Path,
    bank: TextBank,
    progress: Progress,
) -> AdapterTrainer:
    banks = torch.stack([bank.rows(images.name, lesson.vocabulary) for images in lesson.sets])
    rows = [
        sorted({0, *(p.row for p in (*lesson.train, *lesson.validation) if p.product == product)})
        for product in range(len(lesson.sets))
    ]
    mosaics = draw_mosaics(lesson.train, training.mosaic, np.random.default_rng(training.seed))
    identity = detector.settings.model_dump_json()
    total = len(lesson.train) + len(mosaics) + len(lesson.validation)
    advance = progress("features", total)
    features = folder / FEATURES
    inputs = prepare(features / "train", detector, lesson.train, mosaics, identity, advance)
    held = prepare(features / "validation", detector, lesson.validation, (), identity, advance)
    shapes = Shapes(detector.features.grid_hw, detector.map_hw, detector.settings.order)
    detector.adapters.requires_grad_(True)
    trainer = AdapterTrainer(detector.adapters, banks, shapes, training, folder)
    trainer.run(
        inputs,
        lambda: validation_ap(detector, held, banks, rows),
        progress("training", training.epochs_over(inputs.pictures) * inputs.pictures),
    )
    detector.adapters.requires_grad_(False)
    return trainer


def _remember(detector: MultiAdsDetector, good: Sequence[Sample], request: Request) -> None:
    """Fill the few-shot memory with good frames drawn without replacement."""
    rng = np.random.default_rng(request.training.seed)
    chosen = sorted(rng.choice(len(good), request.memory_frames, replace=False))
    inputs = np.concatenate(list(_network_inputs(detector, [good[index] for index in chosen])))
    detector.set_memory(extract(detector, inputs))


def _build(record: RunRecord, bank: TextBank) -> MultiAdsDetector:
    settings = record.model
    assert isinstance(settings, MultiAdsSettings)  # noqa: S101 - narrowing only
    torch.manual_seed(record.training.seed)
    detector = MultiAdsDetector(settings)
    load_backbone(detector.features.backbone, record.weights)
    detector.bank.copy_(bank.rows(settings.product, settings.types))
    return detector.eval().requires_grad_(False)


def _record(
    request: Request,
    lesson: Lesson,
    target: ImageSet,
    parts: tuple[Sequence[Sample], Sequence[Sample]],
    weights: str,
    text_width: int,
) -> RunRecord:
    good, held_out = parts
    if request.memory_frames > len(good):
        raise TrainingError(
            f"--few-shot {request.memory_frames}: only {len(good)} good pictures are left for it"
        )
    frame_wh = frame_size(good)
    return RunRecord(
        created_by=f"edge-inspection {__version__}",
        created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        preset=request.preset,
        weights=weights,
        data=DataRecord(
            name=target.name,
            train_images=len(good),
            train_groups=len({sample.group for sample in good}),
            held_out_images=len(held_out),
            held_out_groups=len({sample.group for sample in held_out}),
            has_groups=target.has_groups,
            frame_wh=frame_wh,
        ),
        model=multiads_settings(
            request.preset,
            weights,
            frame_wh,
            request.size_wh,
            target.name,
            target_types(request, target, lesson),
            text_width,
            request.memory_frames,
            request.order,
        ),
        training=request.training,
        adapters=AdapterRecord(
            products=tuple(images.name for images in lesson.sets),
            vocabulary=tuple(kind.name for kind in lesson.vocabulary),
            train_pictures=len(lesson.train),
            validation_pictures=len(lesson.validation),
            own_defects=tuple(f"{s.label}/{s.path.name}" for s in lesson.own),
        ),
    )


def _start(folder: Path, record: RunRecord) -> RunRecord:
    """Write the record of a new run, or return the stored one of a run to go on with."""
    if not (folder / RECORD).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_record(folder, record)
        return record
    if (folder / MODEL).is_file():
        raise TrainingError(f"--out {folder}: holds a finished run; choose another, or --fresh")
    stored = read_record(folder)
    if stored.model_copy(update={"created_at": record.created_at}) != record:
        raise TrainingError(
            f"--out {folder}: holds an unfinished run with other options (see {RECORD}); "
            "repeat those, choose another folder, or --fresh"
        )
    return stored


def _finished(record: RunRecord, trainer: AdapterTrainer) -> RunRecord:
    assert record.adapters is not None  # noqa: S101 - narrowing only
    outcome = {
        "best_epoch": trainer.best_epoch,
        "validation_ap": round(max(trainer.values), 6),
    }
    return record.model_copy(update={"adapters": record.adapters.model_copy(update=outcome)})


def _network_inputs(detector: MultiAdsDetector, samples: Sequence[Sample]) -> Iterable[Image]:
    return input_batches(samples, InputShape(detector.settings.size_wh), JUDGE_BATCH)
