"""From labelled products and a target's good parts to a finished DAPO run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from edge.data.image_set import frame_size
from edge.methods.dapo.network import DapoDetector
from edge.methods.dapo.presets import dapo_settings, text_tower
from edge.methods.dapo.settings import DapoSettings
from edge.methods.dapo.towers import PromptTower
from edge.methods.dapo.trainer import DapoTrainer, trainable
from edge.methods.dapo.training_settings import DapoTraining
from edge.methods.multiads.fit import finish_run, set_scale, training_inputs, validation_ap
from edge.methods.multiads.presets import default_weights
from edge.methods.multiads.run_record import new_record
from edge.methods.multiads.training_set import Request, TrainingSet, plan, read_target, target_types
from edge.methods.run import start_run
from edge.methods.run_record import RunRecord
from edge.networks.weights import load_backbone
from edge.training.progress import Progress
from edge.training.run_folder import FEATURES


@dataclass(frozen=True, slots=True)
class DapoRequest(Request):
    """What the caller asks for; see Request, PromptSettings and DapoSettings."""

    training: DapoTraining = field(default_factory=DapoTraining)
    text_tokens: int = 4
    visual_tokens: int | None = None
    legacy_text_path: bool = False


def fit(request: DapoRequest, folder: Path, progress: Progress) -> RunRecord:
    """Train a run into `folder`; called again on an unfinished run, go on where it stopped.

    Raises:
        ConfigError: the preset's CLIP is random, or has no legacy text path.
        DataError: a data folder cannot be used.
        TrainingError: the folder holds another or a finished run, CLIP cannot be read, the target
            has no good parts, or training fails.
    """
    weights = request.weights or default_weights(request.preset)
    tower = text_tower(request.preset, weights, legacy=request.legacy_text_path)
    target, parts = read_target(request)
    training_set = plan(request, target, parts[0])
    settings = dapo_settings(
        request.preset,
        weights,
        frame_size(parts[0]),
        request.size_wh,
        target_types(request, target, training_set),
        tower,
        request.memory_frames,
        text_tokens=request.text_tokens,
        visual_tokens=request.visual_tokens,
        legacy_text_path=request.legacy_text_path,
    )
    record = new_record(request, training_set, target, parts, weights, settings)
    record = start_run(folder, record)
    detector = build(settings, tower, weights, request.training.seed)
    set_scale(detector, [picture.sample for picture in training_set.train])
    trainer = _train(detector, tower, training_set, request.training, folder, progress)
    return finish_run(folder, record, request, detector, trainer, parts, progress)


def build(settings: DapoSettings, tower: PromptTower, weights: str, seed: int) -> DapoDetector:
    """Build an untrained detector around the frozen backbone."""
    torch.manual_seed(seed)
    detector = DapoDetector(settings)
    load_backbone(detector.features.backbone, weights)
    detector.prompts.start_from(tower)
    return detector.eval().requires_grad_(False)


def _train(
    detector: DapoDetector,
    tower: PromptTower,
    training_set: TrainingSet,
    training: DapoTraining,
    folder: Path,
    progress: Progress,
) -> DapoTrainer:
    inputs, held = training_inputs(folder / FEATURES, detector, training_set, training, progress)
    names = [kind.name for kind in training_set.vocabulary]
    learned = trainable(detector)
    for parameter in learned.values():
        parameter.requires_grad_(True)
    trainer = DapoTrainer(detector, tower, names, training, folder)

    def validate() -> float:
        banks = trainer.bank().expand(len(training_set.sets), -1, -1)
        return validation_ap(detector, detector.adapters, held, banks, training_set.rows)

    total = training.epochs_over(inputs.pictures) * inputs.pictures
    trainer.run(inputs, validate, progress("training", total))
    detector.requires_grad_(False)
    detector.set_bank(tower)
    return trainer
