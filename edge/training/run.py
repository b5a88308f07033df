"""A run on disk: what was trained, from what, with which settings, and what it scored.

RUN/run.yaml              every setting, in the words of RunRecord
RUN/model.safetensors     all weights and constants of the detector
RUN/calibration.json      scores and frame statistics of the held-out good parts
RUN/log.jsonl             losses
RUN/checkpoint.*          only while training is unfinished
RUN/features/             cached features, only while training is unfinished
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from edge.config.reader import Settings, read_settings
from edge.errors import ConfigError, TrainingError
from edge.models.detector import Detector
from edge.models.settings import ModelSettings

RECORD = "run.yaml"
MODEL = "model.safetensors"
CALIBRATION = "calibration.json"
LOG = "log.jsonl"
FEATURES = "features"


class TrainingSettings(Settings):
    """How the trainable part is trained; defaults follow INP-Former's published protocol.

    Attributes:
        steps: optimiser steps.
        batch: pictures per step.
        tokens: random tokens per picture that the decoder rebuilds in a step; the prototypes
            always see all of them. The decoder works token by token, so a random subset gives an
            unbiased step at a fraction of the cost. 0 = all.
        peak_lr, final_lr, warmup: see optimizer.learning_rate.
        clip: limit of the gradient's norm over everything trained.
        gamma: exponent of soft mining; `coherence` is the weight of the coherence loss.
    """

    seed: int = 0
    steps: int = 1500
    batch: int = 16
    tokens: int = 256
    peak_lr: float = 1e-3
    final_lr: float = 1e-4
    warmup: int = 100
    weight_decay: float = 1e-4
    clip: float = 0.1
    gamma: float = 3.0
    coherence: float = 0.2


class DataRecord(Settings):
    """Which pictures took part. Paths stay out: names and counts identify the set."""

    name: str
    train_images: int
    train_groups: int
    held_out_images: int
    held_out_groups: int
    has_groups: bool
    frame_wh: tuple[int, int]


class SizeTrial(Settings):
    """One network size that was tried, and how well it told synthetic defects apart."""

    size_wh: tuple[int, int]
    auroc: float


class RunRecord(Settings):
    """run.yaml."""

    created_by: str
    created_at: str
    preset: str
    weights: str
    data: DataRecord
    tiles_wh: tuple[int, int] = (1, 1)
    overlap: float = 0.0
    model: ModelSettings
    training: TrainingSettings
    size_trials: tuple[SizeTrial, ...] = ()


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the finished model said of the held-out good parts.

    `files`, `groups`, `scores` and `grey` (mean and deviation of the network input) go together,
    one entry per frame.
    """

    files: tuple[str, ...]
    groups: tuple[str, ...]
    scores: tuple[float, ...]
    grey: tuple[tuple[float, float], ...]


def write_record(folder: Path, record: RunRecord) -> None:
    """Write run.yaml."""
    data = record.model_dump(mode="json")
    text = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=100)
    (folder / RECORD).write_text(text, encoding="utf-8")


def read_record(folder: Path) -> RunRecord:
    """Read run.yaml.

    Raises:
        TrainingError: the folder is no run or its record is damaged.
    """
    if not (folder / RECORD).is_file():
        raise TrainingError(f"{folder}: not a run (no {RECORD}); train one with edge-train")
    try:
        return read_settings(folder / RECORD, RunRecord)
    except ConfigError as error:
        raise TrainingError("; ".join(error.problems)) from error


def write_model(folder: Path, detector: Detector) -> None:
    """Write model.safetensors."""
    state = {name: value.contiguous() for name, value in detector.state_dict().items()}
    aside = folder / f"{MODEL}.part"
    save_file(state, aside)
    aside.replace(folder / MODEL)


def read_model(folder: Path, record: RunRecord) -> Detector:
    """Build the run's detector with its weights, in evaluation mode.

    Raises:
        TrainingError: training did not finish, or the weights do not fit the record.
    """
    path = folder / MODEL
    if not path.is_file():
        raise TrainingError(f"{folder}: training is not finished; run edge-train again to go on")
    detector = Detector(record.model)
    _load(detector, load_file(path), path)
    detector.requires_grad_(False)
    return detector.eval()


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Write calibration.json."""
    data: dict[str, Any] = {
        "files": calibration.files,
        "groups": calibration.groups,
        "scores": calibration.scores,
        "grey": calibration.grey,
    }
    (folder / CALIBRATION).write_text(json.dumps(data, indent=1), encoding="utf-8")


def read_calibration(folder: Path) -> Calibration:
    """Read calibration.json.

    Raises:
        TrainingError: it is missing or damaged.
    """
    path = folder / CALIBRATION
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Calibration(
            files=tuple(data["files"]),
            groups=tuple(data["groups"]),
            scores=tuple(float(score) for score in data["scores"]),
            grey=tuple((float(mean), float(std)) for mean, std in data["grey"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path}: missing or damaged ({error}); train again") from error


def _load(detector: Detector, state: dict[str, Tensor], path: Path) -> None:
    try:
        detector.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise TrainingError(f"{path}: does not fit {RECORD}: {first}") from error
