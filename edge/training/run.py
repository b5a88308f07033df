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
from typing import Any, Literal

import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from edge.config.reader import Settings, read_settings
from edge.errors import ConfigError, TrainingError
from edge.models.dapo import DapoDetector
from edge.models.dapo_settings import DapoSettings
from edge.models.detector import Detector
from edge.models.method_settings import MethodSettings
from edge.models.multiads import MultiAdsDetector
from edge.models.multiads_settings import AlignedSettings
from edge.models.promptmad import PromptMadDetector
from edge.models.promptmad_settings import PromptMadSettings
from edge.models.settings import ModelSettings
from edge.training.dapo.settings import DapoTraining
from edge.training.mavis.settings import NegationTraining
from edge.training.multiads.settings import AdapterTraining
from edge.training.promptmad.settings import PromptTraining

RECORD = "run.yaml"
MODEL = "model.safetensors"
CALIBRATION = "calibration.json"
LOG = "log.jsonl"
FEATURES = "features"

# The network of a run, by its method.
Network = Detector | MultiAdsDetector | PromptMadDetector


class TrainingSettings(Settings):
    """How the trainable part is trained; defaults follow INP-Former's published protocol.

    Attributes:
        shots: train on so many good pictures of each product and their 22 changed copies (see
            few_shot); None takes all pictures as they are.
        steps: optimiser steps.
        batch: pictures per step.
        tokens: random tokens per picture that the decoder rebuilds in a step; the prototypes
            always see all of them. The decoder works token by token, so a random subset gives an
            unbiased step at a fraction of the cost. 0 = all.
        peak_lr, final_lr, warmup: see optimizer.learning_rate.
        clip: limit of the gradient's norm over everything trained.
        gamma: exponent of soft mining; `coherence` is the weight of the coherence loss.
        soft_coherence, squared_mining, head_steps: INP-Former++: match tokens to mixtures of
            prototypes, mine squared errors beside cosines, steps of the residual head if the
            model has one.
    """

    seed: int = 0
    shots: int | None = None
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
    soft_coherence: bool = False
    squared_mining: bool = False
    head_steps: int = 400


class DataRecord(Settings):
    """Which pictures took part. Paths stay out: names and counts identify the set.

    `products` names them if there are several; the groups of a calibration then begin with
    "product/".
    """

    name: str
    train_images: int
    train_groups: int
    held_out_images: int
    held_out_groups: int
    has_groups: bool
    frame_wh: tuple[int, int]
    products: tuple[str, ...] = ()


class SizeTrial(Settings):
    """One network size that was tried, and how well it told synthetic defects apart."""

    size_wh: tuple[int, int]
    auroc: float


class AdapterRecord(Settings):
    """What a MultiADS, DAPO or MAVIS run learned its types from.

    Attributes:
        products: data sets with labelled defects; `vocabulary`: their types in bank order.
        own_defects: labelled pictures of the judged product itself; they test nothing any more.
        best_epoch, validation_ap: known once training has finished.
        negation_errors: MAVIS: share of good cells of the validation pictures whose nearest text is
            of a defect, before training and after every epoch; () for the others.
    """

    products: tuple[str, ...]
    vocabulary: tuple[str, ...]
    train_pictures: int
    validation_pictures: int
    own_defects: tuple[str, ...] = ()
    best_epoch: int | None = None
    validation_ap: float | None = None
    negation_errors: tuple[float, ...] = ()


class NegationRecord(Settings):
    """What the N-pair term of the type branch changed on regions of parts that it had not seen.

    Attributes:
        error_before, error_after: share of good regions whose nearest text is of a defect.
        denials_before, denials_after: share of pairs of good region and type that lie nearer to the
            type's text than to its denial.
        accuracy_before: of naming, without the term.
    """

    error_before: float | None
    error_after: float | None
    denials_before: float | None
    denials_after: float | None
    accuracy_before: float | None


class TypesRecord(Settings):
    """What the type branch of an INP-Former run learned from.

    Attributes:
        products: data sets with labelled defects; `vocabulary`: the types they taught.
        regions: labelled parts, good ones included.
        accuracy: share of labelled regions named right by a model that had not seen their part.
        own_defects: labelled pictures of the judged product itself; they test nothing any more.
        negation: what the N-pair term changed; None without it.
    """

    products: tuple[str, ...]
    vocabulary: tuple[str, ...]
    regions: int
    accuracy: float | None
    own_defects: tuple[str, ...] = ()
    negation: NegationRecord | None = None


class RefinerTrial(Settings):
    """How PromptMAD's mask did on synthetic defects of held-out good pictures, and what was kept.

    Attributes:
        pixel_ap: average precision of the mask by the number of refinement steps; 0 is coarse.
        steps: kept of them.
        with_mask, without: the same of INP-Former's whole map.
        is_kept: INP-Former's map has the mask as a branch.
    """

    pixel_ap: dict[int, float]
    steps: int
    with_mask: float | None = None
    without: float | None = None
    is_kept: bool = True


class Origin(Settings):
    """A model that this run did not train: the checkpoint file or the run it was taken from."""

    kind: Literal["checkpoint", "run"]
    name: str
    sha256: str


class RunRecord(Settings):
    """run.yaml.

    `adapters` for MultiADS, DAPO and MAVIS, `types` for INP-Former runs that name types.
    """

    created_by: str
    created_at: str
    preset: str
    weights: str
    data: DataRecord
    tiles_wh: tuple[int, int] = (1, 1)
    overlap: float = 0.0
    model: MethodSettings
    training: TrainingSettings | AdapterTraining | NegationTraining | DapoTraining | PromptTraining
    size_trials: tuple[SizeTrial, ...] = ()
    origin: Origin | None = None
    adapters: AdapterRecord | None = None
    types: TypesRecord | None = None
    refiner: RefinerTrial | None = None


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
