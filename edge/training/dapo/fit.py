"""From labelled products and a target's good parts to a finished DAPO run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from edge.models.dapo import DapoDetector
from edge.models.dapo_presets import dapo_settings, text_tower
from edge.models.dapo_settings import DapoSettings
from edge.models.dapo_towers import PromptTower
from edge.models.multiads_presets import default_weights
from edge.models.weights import load_backbone
from edge.training.dapo.settings import DapoTraining
from edge.training.dapo.trainer import DapoTrainer, trainable
from edge.training.fit import Progress, frame_size
from edge.training.multiads.fit import finish_run, prepare_lesson, set_scale, validation_ap
from edge.training.multiads.lesson import Lesson, Request, plan, read_target, target_types
from edge.training.multiads.records import new_record
from edge.training.records import RunRecord
from edge.training.run import FEATURES, start_run


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
    lesson = plan(request, target, parts[0])
    settings = dapo_settings(
        request.preset,
        weights,
        frame_size(parts[0]),
        request.size_wh,
        target_types(request, target, lesson),
        tower,
        request.memory_frames,
        text_tokens=request.text_tokens,
        visual_tokens=request.visual_tokens,
        legacy_text_path=request.legacy_text_path,
    )
    record = new_record(request, lesson, target, parts, weights, settings)
    record = start_run(folder, record)
    detector = build(settings, tower, weights, request.training.seed)
    set_scale(detector, [picture.sample for picture in lesson.train])
    trainer = _train(detector, tower, lesson, request.training, folder, progress)
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
    lesson: Lesson,
    training: DapoTraining,
    folder: Path,
    progress: Progress,
) -> DapoTrainer:
    inputs, held = prepare_lesson(folder / FEATURES, detector, lesson, training, progress)
    names = [kind.name for kind in lesson.vocabulary]
    learned = trainable(detector)
    for parameter in learned.values():
        parameter.requires_grad_(True)
    trainer = DapoTrainer(detector, tower, names, training, folder)

    def validate() -> float:
        banks = trainer.bank().expand(len(lesson.sets), -1, -1)
        return validation_ap(detector, held, banks, lesson.rows)

    total = training.epochs_over(inputs.pictures) * inputs.pictures
    trainer.run(inputs, validate, progress("training", total))
    detector.requires_grad_(False)
    detector.set_bank(tower)
    return trainer
