"""From labelled products and a target's good parts to a MultiADS run aligned by MAVIS' stage A."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from edge.errors import ConfigError
from edge.frame import GOOD
from edge.methods.mavis.network import AlignedAdapters, folded
from edge.methods.mavis.texts import product_texts
from edge.methods.mavis.trainer import ImageAnchors, NegationTrainer
from edge.methods.mavis.training_settings import NegationTraining, NPairLevel
from edge.methods.multiads.fit import (
    build,
    detector_settings,
    finish_run,
    frame_batches,
    set_scale,
    training_inputs,
    validation_ap,
)
from edge.methods.multiads.network import MultiAdsDetector
from edge.methods.multiads.presets import IMAGE_SHARE, default_weights, text_encoder
from edge.methods.multiads.run_record import new_record
from edge.methods.multiads.settings import ClipSettings, MultiAdsSettings
from edge.methods.multiads.trainer import Shapes
from edge.methods.multiads.training_set import Request, TrainingSet, plan, read_target
from edge.methods.run import start_run
from edge.methods.run_record import RunRecord
from edge.networks.residual_adapter import ResidualAdapter
from edge.networks.text.bank import TextBank
from edge.training.progress import Progress
from edge.training.run_folder import FEATURES


@dataclass(frozen=True, slots=True)
class MavisRequest(Request):
    """What the caller asks for; see Request.

    Attributes:
        n_pair: levels that the N-pair loss is taken at; empty takes all that the backbone has. The
            image level of a backbone without an image vector trains one.
    """

    training: NegationTraining = field(default_factory=NegationTraining)
    n_pair: tuple[NPairLevel, ...] = ()


def fit(request: MavisRequest, folder: Path, progress: Progress) -> RunRecord:
    """Train a run into `folder`; called again on an unfinished run, go on where it stopped.

    Raises:
        ConfigError: the image level is asked for of a CLIP without weights.
        DataError: a data folder cannot be used.
        TrainingError: the folder holds another or a finished run, or training fails.
    """
    target, parts = read_target(request)
    training_set = plan(request, target, parts[0])
    weights = request.weights or default_weights(request.preset)
    bank = TextBank(text_encoder(request.preset, weights))
    settings = detector_settings(request, weights, target, parts[0], training_set, bank)
    settings = settings.model_copy(
        update={"has_text_adapter": True} | _image_level(request, settings)
    )
    request = replace(request, training=_training(request, settings))
    record = new_record(request, training_set, target, parts, weights, settings)
    record = start_run(folder, record)
    detector = build(settings, record, bank)
    set_scale(detector, [picture.sample for picture in training_set.train])
    trainer = _train(detector, training_set, request.training, folder, bank, progress)
    return finish_run(folder, record, request, detector, trainer, parts, progress)


def _image_level(request: MavisRequest, settings: MultiAdsSettings) -> dict[str, Any]:
    """What the settings need more for the image level, if it is asked for by name."""
    if "image" not in request.n_pair or settings.image_share > 0:
        return {}
    if isinstance(settings.backbone, ClipSettings):
        raise ConfigError(
            "--n-pair image: random weights have no image vector; leave it out, or give a CLIP"
        )
    return {"has_image_head": True, "image_share": IMAGE_SHARE}


def _training(request: MavisRequest, settings: MultiAdsSettings) -> NegationTraining:
    """The request's training with no weight on the levels that take no part."""
    has_image = settings.image_share > 0
    levels = request.n_pair or (("image", "patch") if has_image else ("patch",))
    left_out = {} if "image" in levels else {"image_weight": 0.0}
    left_out |= {} if "patch" in levels else {"patch_weight": 0.0, "type_weight": 0.0}
    return request.training.model_copy(update=left_out)


def _train(
    detector: MultiAdsDetector,
    training_set: TrainingSet,
    training: NegationTraining,
    folder: Path,
    bank: TextBank,
    progress: Progress,
) -> NegationTrainer:
    inputs, held = training_inputs(folder / FEATURES, detector, training_set, training, progress)
    texts = [
        product_texts(bank, images.name, training_set.vocabulary) for images in training_set.sets
    ]
    width, images, image = detector.settings.text_width, None, None
    if training.image_weight:
        images = image_anchors(detector, training_set)
        image = ResidualAdapter(width) if detector.image_head is None else detector.image_head
    aligned = AlignedAdapters(
        detector.features.channels, width, detector.settings.temperature, image
    ).requires_grad_(True)
    # The start of MultiADS itself, so that a comparison compares the terms alone.
    aligned.adapters.load_state_dict(detector.adapters.adapters.state_dict())
    shapes = Shapes(detector.features.grid_hw, detector.map_hw, detector.settings.order)
    trainer = NegationTrainer(aligned, texts, shapes, training, folder, held, images)
    banks = torch.stack([product.rows for product in texts])
    trainer.run(
        inputs,
        lambda: validation_ap(detector, aligned, held, banks, training_set.rows),
        progress("training", training.epochs_over(inputs.pictures) * inputs.pictures),
    )
    detector.load_state_dict(detector.state_dict() | folded(aligned, detector))
    detector.requires_grad_(False)
    return trainer


@torch.no_grad()
def image_anchors(detector: MultiAdsDetector, training_set: TrainingSet) -> ImageAnchors:
    """What the image vectors of pictures to learn from are made of.

    Of good parts alone where the backbone has an image vector. Where the whole vector is trained
    the defective ones are there, too: a constant would please good parts.
    """
    head = detector.image_head
    chosen = [p for p in training_set.train if head is not None or p.sample.label == GOOD]
    found = []
    for inputs in frame_batches(detector, [picture.sample for picture in chosen]):
        groups, image = detector.extract(torch.from_numpy(inputs))
        assert image is not None  # noqa: S101 - narrowing only
        found.append(image if head is None else head.pooled(groups))
    return ImageAnchors(
        torch.cat(found),
        torch.tensor([picture.product for picture in chosen]),
        torch.tensor([picture.row for picture in chosen]),
    )
