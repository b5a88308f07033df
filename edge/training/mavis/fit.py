"""From labelled products and a target's good parts to a MultiADS run aligned by MAVIS' stage A."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from edge.errors import ConfigError
from edge.frame import GOOD
from edge.models.mavis import AlignedAdapters, fold
from edge.models.multiads import MultiAdsDetector
from edge.models.multiads_presets import default_weights, text_encoder
from edge.models.text.bank import TextBank
from edge.training.fit import Progress
from edge.training.mavis.settings import NegationTraining, NPairLevel
from edge.training.mavis.texts import product_texts
from edge.training.mavis.trainer import NegationTrainer
from edge.training.multiads.fit import (
    build,
    detector_settings,
    finish_run,
    frame_batches,
    prepare_lesson,
    set_scale,
    validation_ap,
)
from edge.training.multiads.lesson import Lesson, Request, plan, read_target
from edge.training.multiads.records import new_record
from edge.training.multiads.trainer import Shapes
from edge.training.records import RunRecord
from edge.training.run import FEATURES, start_run


@dataclass(frozen=True, slots=True)
class MavisRequest(Request):
    """What the caller asks for; see Request.

    Attributes:
        n_pair: levels that the N-pair loss is taken at; empty takes all that the backbone has.
    """

    training: NegationTraining = field(default_factory=NegationTraining)
    n_pair: tuple[NPairLevel, ...] = ()


def fit(request: MavisRequest, folder: Path, progress: Progress) -> RunRecord:
    """Train a run into `folder`; called again on an unfinished run, go on where it stopped.

    Raises:
        ConfigError: the image level is asked for, but the preset has no image vector.
        DataError: a data folder cannot be used.
        TrainingError: the folder holds another or a finished run, or training fails.
    """
    target, parts = read_target(request)
    lesson = plan(request, target, parts[0])
    weights = request.weights or default_weights(request.preset)
    bank = TextBank(text_encoder(request.preset, weights))
    settings = detector_settings(request, weights, target, parts[0], lesson, bank)
    settings = settings.model_copy(update={"has_text_adapter": True})
    request = replace(request, training=_training(request, has_image=settings.image_share > 0))
    record = new_record(request, lesson, target, parts, weights, settings)
    record = start_run(folder, record)
    detector = build(settings, record, bank)
    set_scale(detector, [picture.sample for picture in lesson.train])
    trainer = _train(detector, lesson, request.training, folder, bank, progress)
    return finish_run(folder, record, request, detector, trainer, parts, progress)


def _training(request: MavisRequest, *, has_image: bool) -> NegationTraining:
    """The request's training with no weight on the levels that take no part."""
    if "image" in request.n_pair and not has_image:
        raise ConfigError(
            f"--n-pair image: preset {request.preset} has no image vector; leave it out, or take "
            "standard or accurate"
        )
    levels = request.n_pair or (("image", "patch") if has_image else ("patch",))
    left_out = {} if "image" in levels else {"image_weight": 0.0}
    left_out |= {} if "patch" in levels else {"patch_weight": 0.0, "type_weight": 0.0}
    return request.training.model_copy(update=left_out)


def _train(
    detector: MultiAdsDetector,
    lesson: Lesson,
    training: NegationTraining,
    folder: Path,
    bank: TextBank,
    progress: Progress,
) -> NegationTrainer:
    inputs, held = prepare_lesson(folder / FEATURES, detector, lesson, training, progress)
    texts = [product_texts(bank, images.name, lesson.vocabulary) for images in lesson.sets]
    images = image_vectors(detector, lesson) if training.image_weight else None
    aligned = AlignedAdapters(
        detector.features.channels,
        detector.settings.text_width,
        detector.settings.temperature,
        has_image=images is not None,
    )
    # The start of MultiADS itself, so that a comparison compares the terms alone.
    aligned.adapters.load_state_dict(detector.adapters.adapters.state_dict())
    detector.adapters = aligned
    shapes = Shapes(detector.features.grid_hw, detector.map_hw, detector.settings.order)
    trainer = NegationTrainer(aligned, texts, shapes, training, folder, held, images)
    banks = torch.stack([product.rows for product in texts])
    trainer.run(
        inputs,
        lambda: validation_ap(detector, held, banks, lesson.rows),
        progress("training", training.epochs_over(inputs.pictures) * inputs.pictures),
    )
    fold(aligned, detector)
    return trainer


@torch.no_grad()
def image_vectors(detector: MultiAdsDetector, lesson: Lesson) -> tuple[Tensor, Tensor]:
    """Image vectors of the good parts to learn from, (n, D), and their products, (n,)."""
    good = [picture for picture in lesson.train if picture.sample.label == GOOD]
    vectors = [
        detector.extract(torch.from_numpy(inputs)).image
        for inputs in frame_batches(detector, [picture.sample for picture in good])
    ]
    seen = [vector for vector in vectors if vector is not None]
    products = torch.tensor([picture.product for picture in good])
    return torch.cat(seen) if seen else torch.zeros(0, detector.settings.text_width), products
