"""From good pictures of one product to a finished PromptMAD run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edge import __version__
from edge.data.frame_record import write_frames
from edge.data.frames import InputShape, input_batches
from edge.data.golden_pictures import write_golden
from edge.data.image_set import Sample, frame_size
from edge.data.products import Products, read_products
from edge.errors import ConfigError
from edge.methods.inp_former.calibration import JUDGE_BATCH
from edge.methods.inp_former.fit import SCALE_PICTURES
from edge.methods.presets import candidate_sizes
from edge.methods.promptmad.inputs import (
    PromptInputs,
    affordable,
    mask_inputs,
    prompt_inputs,
    spread,
)
from edge.methods.promptmad.network import PromptMadDetector
from edge.methods.promptmad.reconstruction_fitting import PromptTrainer, medoid
from edge.methods.promptmad.refiner_fitting import MaskTrainer, mask_units
from edge.methods.promptmad.request import Request
from edge.methods.promptmad.settings import PromptMadSettings, RefinerNet
from edge.methods.promptmad.training_settings import PromptTraining
from edge.methods.promptmad.words import defect_names
from edge.methods.run import read_record, start_run, write_model, write_record
from edge.methods.run_record import RefinerTrial, RunRecord
from edge.networks.backbones.efficientnet_lite import STAGE_STRIDES
from edge.networks.backbones.settings import PyramidSettings
from edge.networks.text.bank import TextBank
from edge.networks.text.minilm import MiniLm
from edge.networks.weights import load_backbone
from edge.training.progress import Progress
from edge.training.run_folder import Calibration, write_calibration
from edge.training.staged_training import StagedTraining

# Held-out pictures of the validation, and inputs drawn from them.
HELD_PICTURES = 60
HELD_INPUTS = 120
LITE = "lite"


def fit(request: Request, folder: Path, progress: Progress) -> RunRecord:
    """Train a run into `folder`; called again on an unfinished run, go on where it stopped.

    Raises:
        ConfigError: a preset that the method does not have.
        DataError: the data folder cannot be used.
        TrainingError: the folder holds another or a finished run, or training fails.
    """
    training = request.training
    products = read_products([request.data], training.seed, geometry=request.geometry)
    bank = TextBank(MiniLm())
    record = start_run(folder, _record(request, products, bank))
    detector = _build(record, bank)
    _set_scale(detector, products.train)
    inputs, held = _inputs(detector, products, training, progress)
    trained = nn.ModuleDict(
        {"text": detector.text, "reconstruction": detector.reconstruction,
         "refiner": detector.refiner}
    )  # fmt: skip
    staged = StagedTraining(trained, training, folder)
    trial = _train(detector, inputs, held, training, staged, progress)
    detector.set_refinement_steps(trial.steps)
    advance = progress("calibration", len(products.held_out))
    calibration = calibrate(detector, products.held_out, held, advance)
    write_calibration(folder, calibration)
    write_frames(folder, (*products.train, *products.held_out))
    write_golden(folder, products.held_out, calibration.scores, training.seed)
    record = record.model_copy(update={"model": detector.settings, "refiner": trial})
    write_model(folder, detector)
    write_record(folder, record)
    staged.clear()
    return read_record(folder)


@torch.no_grad()
def calibrate(
    detector: PromptMadDetector,
    samples: Sequence[Sample],
    held: PromptInputs,
    advance: Callable[[int], None],
) -> Calibration:
    """Fix the map's scales on held-out good parts and their synthetic defects, score the parts."""
    branches: list[Tensor] = []
    for inputs in input_batches(samples, InputShape(detector.settings.size_wh), JUDGE_BATCH):
        branches.append(detector.branches(detector.extract(torch.from_numpy(inputs))))
        advance(len(inputs))
    together = torch.cat(branches)
    detector.fuse.calibrate(together)
    errors = [
        detector.missed(tokens.float()).square().sum(-1).sqrt().amax()
        for tokens in held.changed.split(JUDGE_BATCH)
    ]
    strongest = (torch.stack(errors).amax() - detector.fuse.offset[0]) / detector.fuse.scale[0]
    detector.calibrate(together, float(strongest))
    scores = detector.judge(together).score
    return Calibration(
        files=tuple(sample.path.name for sample in samples),
        groups=tuple(sample.group for sample in samples),
        scores=tuple(float(score) for score in scores),
    )


def _train(
    detector: PromptMadDetector,
    inputs: PromptInputs,
    held: PromptInputs,
    training: PromptTraining,
    staged: StagedTraining,
    progress: Progress,
) -> RefinerTrial:
    """Train reconstruction, segmentor and denoiser, one after another."""
    prompt = medoid(inputs.good)
    prompter = PromptTrainer(detector, inputs, held, prompt, training)
    advance = progress("reconstruction", training.reconstruction_steps)
    staged.run(prompter.stage(), advance)
    detector.set_prompt(prompt)
    advance = progress("mask", mask_units(training))
    masker = _masker(detector, inputs, held, training, staged)
    if training.joint:
        coarse = staged.run(prompter.joint_stage(), advance)
        detector.set_prompt(prompt)
        masker = _masker(detector, inputs, held, training, staged)
    else:
        coarse = masker.train_segmentor(detector.refiner.segmentor, advance)
    return masker.train_denoiser(coarse, advance)


def _masker(
    detector: PromptMadDetector,
    inputs: PromptInputs,
    held: PromptInputs,
    training: PromptTraining,
    staged: StagedTraining,
) -> MaskTrainer:
    seen, judged = (mask_inputs(detector, given, training.batch) for given in (inputs, held))
    return MaskTrainer(detector.refiner, detector.text, seen, judged, training, staged)


def _inputs(
    detector: PromptMadDetector, products: Products, training: PromptTraining, progress: Progress
) -> tuple[PromptInputs, PromptInputs]:
    """Inputs to train on, and to validate on, never from the same picture."""
    count = affordable(training.inputs, _bytes_each(detector))
    held_out = spread(products.held_out, HELD_PICTURES)
    checked = min(count, HELD_INPUTS)
    good = len(spread(products.train, count)) + len(spread(held_out, checked))
    advance = progress("features", good + count + checked)
    rng = np.random.default_rng((training.seed, 1))
    inputs = prompt_inputs(detector, products.train, count, rng, advance)
    held = prompt_inputs(detector, held_out, checked, rng, advance)
    return inputs, held


def _bytes_each(detector: PromptMadDetector) -> int:
    """Of one input in half precision: tokens good and changed, their residual, and the levels."""
    features = detector.features
    strides = [STAGE_STRIDES[tap] for tap in features.backbone.taps]
    width, height = detector.settings.size_wh
    levels = sum(
        channels * (width // stride) * (height // stride)
        for channels, stride in zip(features.channels[1:], strides[1:], strict=True)
    )
    cells = detector.grid_hw[0] * detector.grid_hw[1]
    return 2 * (3 * cells * sum(features.channels) + levels)


def _build(record: RunRecord, bank: TextBank) -> PromptMadDetector:
    settings = record.model
    assert isinstance(settings, PromptMadSettings)  # noqa: S101 - narrowing only
    torch.manual_seed(record.training.seed)
    detector = PromptMadDetector(settings)
    load_backbone(detector.features.backbone, record.weights)
    detector.text.set_rows(bank.rows(settings.product, settings.refiner.types))
    return detector.eval().requires_grad_(False)


@torch.no_grad()
def _set_scale(detector: PromptMadDetector, samples: Sequence[Sample]) -> None:
    """Bring every stage of the backbone to unit root mean square on the grid."""
    some = spread(samples, SCALE_PICTURES)
    channels = detector.features.channels
    squares = []
    for inputs in input_batches(some, InputShape(detector.settings.size_wh)):
        tokens = detector.extract(torch.from_numpy(inputs)).tokens
        squares.append(torch.stack([g.square().mean() for g in tokens.split(channels, -1)]))
    detector.features.set_scale(torch.stack(squares).mean(0))


def _record(request: Request, products: Products, bank: TextBank) -> RunRecord:
    if request.preset.name != LITE:
        raise ConfigError(
            f"--preset: promptmad rebuilds a feature pyramid, expected {LITE}, got "
            f"{request.preset.name}; its mask serves the others: edge-train --refine"
        )
    name, frame_wh = products.names[0], frame_size(products.train)
    return RunRecord(
        created_by=f"edge-inspection {__version__}",
        created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        preset=request.preset.name,
        weights=request.weights or request.preset.weights,
        data=products.record(frame_wh),
        geometry=products.geometry,
        model=PromptMadSettings(
            size_wh=request.size_wh or candidate_sizes(request.preset, frame_wh)[0],
            backbone=PyramidSettings(name="efficientnet_lite0", taps=(0, 1, 2, 4), stride=16),
            net=request.net,
            refiner=RefinerNet(
                text_width=bank.width, types=defect_names(name, request.types, bank.table)
            ),
            product=name,
        ),
        training=request.training,
    )
