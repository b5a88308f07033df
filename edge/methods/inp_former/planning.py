"""What a new INP-Former run is to be: its network size, its settings, its record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import torch

from edge import __version__
from edge.data.image_set import Sample
from edge.data.products import Products
from edge.data.record import DataRecord
from edge.methods.inp_former.branch_fitting import with_branches
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.mask_refiner import with_refiner
from edge.methods.inp_former.request import Request
from edge.methods.inp_former.residual_head import with_head
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.inp_former.sizing import (
    best_size,
    choose_size,
    trial_units,
    without_training,
)
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.presets import candidate_sizes, model_settings
from edge.methods.run import other_options
from edge.methods.run_record import RunRecord, SizeTrial
from edge.networks.weights import load_backbone
from edge.training.progress import Progress


def _candidates(request: Request, data: DataRecord) -> tuple[tuple[int, int], ...]:
    """Network sizes that may be tried; the first one is taken where there is no trial."""
    if request.size_wh is not None:
        return (request.size_wh,)
    columns, rows = request.tiles_wh
    tile_wh = (data.frame_wh[0] // columns, data.frame_wh[1] // rows)
    candidates = candidate_sizes(request.preset, tile_wh)
    return candidates if request.tiles_wh == (1, 1) else candidates[:1]


def network_size(
    request: Request,
    training: TrainingSettings,
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    data: DataRecord,
    progress: Progress,
) -> tuple[tuple[int, int], tuple[SizeTrial, ...]]:
    """The size of a new run, and the trials that it was chosen by."""
    candidates = _candidates(request, data)
    if len(candidates) == 1:
        return candidates[0], ()
    preset, weights = request.preset, request.backbone_weights
    trials = choose_size(
        candidates,
        lambda size: build(without_training(model_settings(preset, size, weights)), weights, 0),
        train,
        held_out,
        training.seed,
        progress("network size", trial_units(train, held_out)),
    )
    return best_size(trials), trials


def stored_size(
    request: Request, folder: Path, stored: RunRecord, data: DataRecord
) -> tuple[tuple[int, int], tuple[SizeTrial, ...]]:
    """Size and trials that the request leads to, without repeating the trials of `stored`.

    Raises:
        TrainingError: the run was begun without the trials that the request calls for.
    """
    candidates = _candidates(request, data)
    if len(candidates) == 1:
        return candidates[0], ()
    if not stored.size_trials and isinstance(stored.model, ModelSettings):
        width, height = stored.model.size_wh
        raise other_options(folder, [f"model.size_wh is {width}x{height} there, auto here"])
    return stored.model.size_wh, stored.size_trials


def new_record(
    request: Request,
    training: TrainingSettings,
    products: Products,
    data: DataRecord,
    size_wh: tuple[int, int],
    trials: tuple[SizeTrial, ...],
) -> RunRecord:
    """Put together what a run of the request is made of, at one network size."""
    model = model_settings(request.preset, size_wh, request.backbone_weights)
    model = with_head(model, request.head)
    if request.refine:
        model = with_refiner(model, data.name)
    judged = products.train if products.shares else products.held_out
    judged_parts = len({sample.group for sample in judged})
    return RunRecord(
        created_by=f"edge-inspection {__version__}",
        created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        preset=request.preset.name,
        weights=request.backbone_weights,
        data=data,
        tiles_wh=request.tiles_wh,
        overlap=request.overlap,
        model=with_branches(model, judged_parts if request.branches else None),
        training=training,
        size_trials=trials,
        geometry=products.geometry,
    )


def build(settings: ModelSettings, weights: str, seed: int) -> Detector:
    """Build an untrained detector around the frozen backbone."""
    torch.manual_seed(seed)
    detector = Detector(settings)
    load_backbone(detector.features.backbone, weights)
    return detector.eval()
