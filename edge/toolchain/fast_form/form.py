"""From a finished run and its pictures to a fast form, which is packed in place of the run's own.

The head learns from the training side of the run's split alone. The threshold and the comparison
with the full form stand on held-out parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from edge.data.frames import InputShape, input_batches
from edge.data.image_set import Sample
from edge.data.products import Products, read_products
from edge.data.record import DataRecord
from edge.data.viewed import viewed
from edge.errors import ToolchainError
from edge.geometry.view_transform import ViewTransform
from edge.methods.inp_former.branch_fitting import fit_image
from edge.methods.inp_former.calibration import rescale
from edge.methods.inp_former.detector import Detector
from edge.methods.run import read_calibration, read_model, read_record
from edge.methods.run_record import RunRecord
from edge.networks.backbones.efficientnet_lite import STAGE_STRIDES
from edge.networks.features import PyramidFeatures
from edge.toolchain.fast_form import agreement
from edge.toolchain.fast_form.agreement import Agreement
from edge.toolchain.fast_form.distillation import STEPS, Schedule, train_head
from edge.toolchain.fast_form.lessons import LESSONS, make_lessons, planned
from edge.toolchain.fast_form.network import FastDetector, FastSettings
from edge.toolchain.packing.thresholds import calibrated_threshold
from edge.training.progress import Progress
from edge.training.run_folder import Calibration


@dataclass(frozen=True, slots=True)
class FastForm:
    """A fast form that agrees with its full form.

    Attributes:
        network: what is exported.
        calibration: its own scores of the held-out good parts.
        agreement: with the full form.
        lessons: changed training pictures that the head has learned from.
        types: names of the run that the fast form does not tell apart.
        data: the pictures it has learned from and those held out.
    """

    network: FastDetector
    calibration: Calibration
    agreement: Agreement
    lessons: int
    types: tuple[str, ...]
    data: DataRecord

    def record_of(self, run: RunRecord) -> RunRecord:
        """The run's record as it holds for the fast form: its split, and no types."""
        model = run.model.model_copy(update={"types": ()})
        return run.model_copy(update={"model": model, "data": self.data})

    def __str__(self) -> str:
        left_out = f"; types left out: {', '.join(self.types)}" if self.types else ""
        return (
            f"fast form of it, one head that has learned from {self.lessons} changed pictures; "
            f"beside the full form: {self.agreement}{left_out}"
        )


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is spent on a fast form."""

    lessons: int = LESSONS
    steps: int = STEPS


def distil(
    run: Path,
    folders: Sequence[Path],
    progress: Progress,
    *,
    alpha: float | None = None,
    accept_lower: bool = False,
    effort: Effort | None = None,
) -> FastForm:
    """Make the fast form of a finished run.

    Args:
        run: of the preset lite, or another one on a convolutional backbone.
        folders: the data that it was trained on.
        progress: of the lessons, the training and the comparison.
        alpha: false-reject rate, as in thresholds.fit_threshold.
        accept_lower: take a fast form that agrees too little with the full one.
        effort: None takes the usual one.

    Raises:
        TrainingError: `run` is not a finished run.
        ToolchainError: it has no fast form, or the pictures are not its own.
        DataError: a data folder cannot be used.
        ThresholdError: the held-out good parts cannot support the rate asked for.
        ParityError: the fast form decides too differently.
    """
    effort = effort or Effort()
    record = read_record(run)
    full = _full_form(run, record)
    products = _pictures(run, record, folders)
    shape = InputShape(record.model.size_wh, record.tiles_wh, record.overlap)
    seed = record.training.seed
    fast = new_network(full)
    pictures, _ = planned(products.train, effort.lessons)
    advance = progress("lessons", len(pictures))
    lessons = make_lessons(full, fast, products.train, shape, seed, advance, effort.lessons)
    if fast.image is not None:
        fast.image = fit_image(fast.image, lessons.pooled)
    train_head(fast, lessons, Schedule(effort.steps, seed), progress("head", effort.steps))
    calibration = calibrate(fast, products.held_out, shape)
    advance = progress("agreement", len(agreement.used(products.held_out)))
    judged = agreement.judge((full, fast), products.held_out, shape, seed, advance)
    usual, own = (
        calibrated_threshold(scores, alpha).value for scores in (read_calibration(run), calibration)
    )
    found = agreement.compare(judged[0], judged[1], (usual, own))
    if not accept_lower:
        agreement.refuse(found)
    types = getattr(record.model, "types", ())
    data = products.record(record.data.frame_wh)
    synthetic = tuple(zip(judged[1].kinds, judged[1].defects.tolist(), strict=True))
    calibration = replace(calibration, synthetic=synthetic)
    return FastForm(fast, calibration, found, len(lessons), types, data)


def new_network(full: Detector) -> FastDetector:
    """A fast form of the full form's shape, with a head that has learned nothing."""
    features, settings = full.features, full.settings
    assert isinstance(features, PyramidFeatures)  # noqa: S101 - narrowing only
    width, height = settings.size_wh
    stride = settings.backbone.stride
    strides = [STAGE_STRIDES[tap] for tap in features.backbone.taps]
    finer = [index for index, each in enumerate(strides) if each <= stride]
    fast = FastDetector(
        FastSettings(
            size_wh=settings.size_wh,
            grid_hw=full.grid_hw,
            map_hw=(height // settings.map.stride, width // settings.map.stride),
            channels=tuple(features.channels[index] for index in finer),
            factors=tuple(stride // strides[index] for index in finer),
            top_ratio=settings.map.top_ratio,
            image_dims=settings.branches.image_dims,
        ),
        features,
    )
    if full.score_offset is not None:
        fast.score_offset.copy_(full.score_offset)
    return fast.eval().requires_grad_(False)


@torch.no_grad()
def calibrate(fast: FastDetector, held_out: Sequence[Sample], shape: InputShape) -> Calibration:
    """Fix the scale of the image branch on held-out good parts, then score those parts.

    Raises:
        DataError: a picture is unreadable.
    """
    if fast.image is not None:
        tops, distances = [], []
        for inputs in input_batches(held_out, shape):
            levels = fast.levels(torch.from_numpy(inputs))
            tops.append(fast.map_score(levels))
            distances.append(fast.image(fast.tokens(levels)))
        fast.image = fast.image.changed(rescale=rescale(torch.cat(tops), torch.cat(distances)))
    scores = torch.cat(
        [fast(torch.from_numpy(inputs)).score for inputs in input_batches(held_out, shape)]
    )
    return Calibration(
        files=tuple(sample.path.name for sample in held_out),
        groups=tuple(sample.group for sample in held_out),
        scores=tuple(scores.reshape(len(held_out), shape.tiles).amax(1).tolist()),
    )


def _full_form(run: Path, record: RunRecord) -> Detector:
    detector = read_model(run, record)
    if not isinstance(detector, Detector) or not isinstance(detector.features, PyramidFeatures):
        raise ToolchainError(
            f"--fast: expected a run of the preset lite, {run} is of {record.preset} "
            f"({record.model.method}); train one with edge-train --preset lite"
        )
    if record.instant is not None:
        raise ToolchainError(f"--fast: {run} was made at once, from few parts; train one first")
    if detector.grid_top is None or detector.grid_hw != detector.features.grid_hw:
        raise ToolchainError(
            f"--fast: {run} was trained with --no-branches, a residual head or a mask, which have "
            "no fast form; train it without them"
        )
    return detector


def _pictures(run: Path, record: RunRecord, folders: Sequence[Path]) -> Products:
    """The run's own pictures, a part of them held out, as in a training without cross-fitting."""
    seed, shots = record.training.seed, getattr(record.training, "shots", None)
    shares = getattr(record.training, "shares", 0)
    learned = read_products(folders, seed, shots, shares=shares)
    products = read_products(folders, seed, shots) if shares else learned
    found = learned.record(record.data.frame_wh).pictures_sha256
    if record.data.pictures_sha256 not in (None, found):
        raise ToolchainError(
            f"--data {', '.join(map(str, folders))}: are not the pictures that {run} was trained "
            f"on ({record.data.name}); give those, or train again"
        )
    if record.geometry is None:
        return products
    transform = ViewTransform(record.geometry)
    return Products(
        products.names, viewed(products.train, transform), viewed(products.held_out, transform),
        products.has_groups, record.geometry,
    )  # fmt: skip
