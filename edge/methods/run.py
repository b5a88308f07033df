"""A run on disk: what was trained, from what, with which settings, and what it scored.

RUN/run.yaml              every setting, see records.RunRecord
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

from edge.config.reader import read_settings
from edge.errors import ConfigError, TrainingError
from edge.methods.dapo.network import DapoDetector
from edge.methods.dapo.settings import DapoSettings
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.multiads.network import MultiAdsDetector
from edge.methods.multiads.settings import AlignedSettings
from edge.methods.promptmad.network import PromptMadDetector
from edge.methods.promptmad.settings import PromptMadSettings
from edge.methods.run_record import RunRecord

RECORD = "run.yaml"
MODEL = "model.safetensors"
CALIBRATION = "calibration.json"
LOG = "log.jsonl"
FEATURES = "features"

# The network of a run, by its method.
Network = Detector | MultiAdsDetector | PromptMadDetector


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


def start_run(folder: Path, record: RunRecord) -> RunRecord:
    """Write the record of a new run, or return the stored one of a run to go on with.

    Raises:
        TrainingError: `folder` holds a finished run, or one with other options.
    """
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


def write_model(folder: Path, detector: Network) -> None:
    """Write model.safetensors."""
    state = {name: value.contiguous() for name, value in detector.state_dict().items()}
    aside = folder / f"{MODEL}.part"
    save_file(state, aside)
    aside.replace(folder / MODEL)


def read_model(folder: Path, record: RunRecord) -> Network:
    """Build the run's detector with its weights, in evaluation mode.

    Raises:
        TrainingError: training did not finish, or the weights do not fit the record.
    """
    path = folder / MODEL
    if not path.is_file():
        raise TrainingError(f"{folder}: training is not finished; run edge-train again to go on")
    detector = _network(record.model)
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
    if not path.is_file() and read_record(folder).origin is not None:
        raise TrainingError(
            f"{folder}: imported without pictures, so it has no threshold; edge-import it again "
            "with --data GOOD_PICTURES"
        )
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


def _network(settings: ModelSettings | AlignedSettings | PromptMadSettings) -> Network:
    if isinstance(settings, PromptMadSettings):
        return PromptMadDetector(settings)
    if isinstance(settings, DapoSettings):
        return DapoDetector(settings)
    if isinstance(settings, AlignedSettings):
        return MultiAdsDetector(settings)
    return Detector(settings)


def _load(detector: Network, state: dict[str, Tensor], path: Path) -> None:
    try:
        detector.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise TrainingError(f"{path}: does not fit {RECORD}: {first}") from error
