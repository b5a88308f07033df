"""A run from few good parts at once: everything that needs no gradient training.

Memory bank, statistics of positions and the probe of synthetic defects judge; INP-Former, which
would have to be trained, is left out of the graph. Scales and threshold come from parts that are
left out in turn; those of a single picture from what its own other places teach (docs/adr/0039).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from edge.data.few_parts import read_few
from edge.data.frame_record import write_frames
from edge.data.frames import InputShape
from edge.data.golden_pictures import write_golden
from edge.data.image_set import Sample, frame_size
from edge.data.small_changes import next_view
from edge.errors import TrainingError
from edge.evaluation.paired_auroc import Placements, placements
from edge.methods.inp_former.branches import PROBE
from edge.methods.inp_former.calibration import scaled
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.fusion_fitting import (
    PROBE_SHARE,
    mixture,
    with_shares,
    without_useless,
)
from edge.methods.inp_former.instant_features import Pool, defective_cells, pooled, views_each
from edge.methods.inp_former.instant_fitting import fitted
from edge.methods.inp_former.instant_folds import Judged, by_other_places, folds, leave_out
from edge.methods.inp_former.planning import build, new_record
from edge.methods.inp_former.request import Request
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.presets import candidate_sizes
from edge.methods.run import start_run, write_model, write_record
from edge.methods.run_record import InstantRecord, RunRecord
from edge.training.progress import Progress
from edge.training.run_folder import Calibration, write_calibration

# How far other parts exceed what a picture's own other places say of it, as a factor of the score
# (docs/adr/0039). It stands for what a single picture cannot tell.
OTHER_PARTS = 1.2
# Fewer pictures say nothing of how places differ from part to part.
POSITION_LEAST = 2
# Sizes are not tried: of the preset's, this one is taken where frames are large enough for it.
SIZE_PLACE = 1


def fit_instant(request: Request, folder: Path, progress: Progress) -> RunRecord:
    """Make a run of few good parts in `folder`.

    Raises:
        DataError: the data folder cannot be used.
        TrainingError: there are several products, or the folder holds another or a finished run.
    """
    if len(request.folders) > 1:
        raise TrainingError("--instant: expected one --data, of one product; train for several")
    training = (request.training or TrainingSettings()).model_copy(update={"steps": 0})
    products = read_few(request.folders[0], request.geometry)
    samples = products.train
    data = products.record(frame_size(samples))
    size_wh = request.size_wh or _size(request, data.frame_wh)
    record = new_record(request, training, products, data, size_wh, ())
    assert isinstance(record.model, ModelSettings)  # noqa: S101 - narrowing only
    shape = InputShape(size_wh, request.tiles_wh, request.overlap)
    changed = views_each(len(samples), shape.tiles)
    found = InstantRecord(
        views=changed,
        scores_from="parts left out" if len(samples) > 1 else "places of one picture",
    )
    model = _without_training(record.model, len(samples))
    record = start_run(folder, record.model_copy(update={"model": model, "instant": found}))
    write_frames(folder, samples)
    detector = build(model, record.weights, training.seed)
    advance = progress("features", 2 * len(samples))
    pool = pooled(detector, samples, shape, changed, advance)
    cells = defective_cells(detector, samples, shape, training.seed, PROBE, advance)
    advance = progress("parts left out", len(folds(samples, pool)) + 1)
    judged = leave_out(detector, samples, pool, cells, shape, training.seed, advance)
    detector = fitted(detector, pool, cells, training.seed)
    advance(1)
    detector, kept = _weighed(detector, judged, shape.tiles)
    detector = scaled(detector, judged.maps[:, kept])
    good, defective = (
        detector.judge(maps[:, kept]).score.reshape(-1, shape.tiles).amax(1)
        for maps in (judged.maps, judged.defective)
    )
    if len(samples) == 1:
        good = _of_one(detector, pool, good, training.seed)
    calibration = replace(
        _calibration(samples, judged.pictures, good),
        synthetic=tuple(zip(judged.kinds, defective.tolist(), strict=True)),
    )
    write_calibration(folder, calibration)
    # Of what the bank holds, distances are zero but for rounding, which no engine does alike.
    write_golden(folder, samples, calibration.scores, training.seed, next_view)
    record = record.model_copy(update={"model": detector.settings})
    write_record(folder, record)
    write_model(folder, detector)
    return record


def _size(request: Request, frame_wh: tuple[int, int]) -> tuple[int, int]:
    columns, rows = request.tiles_wh
    sizes = candidate_sizes(request.preset, (frame_wh[0] // columns, frame_wh[1] // rows))
    return sizes[0] if request.tiles_wh != (1, 1) else sizes[: SIZE_PLACE + 1][-1]


def _without_training(model: ModelSettings, pictures: int) -> ModelSettings:
    """The model without INP-Former, and without what so few pictures cannot tell."""
    branches: dict[str, object] = {"image_dims": 0}
    if pictures < POSITION_LEAST:
        branches["position_dims"] = 0
    return ModelSettings.model_validate(
        model.model_copy(
            update={
                "branches": model.branches.model_copy(update=branches),
                "inp_former": model.inp_former.model_copy(update={"judge_by": "nothing"}),
            }
        ).model_dump()
    )


def _weighed(detector: Detector, judged: Judged, tiles: int) -> tuple[Detector, list[int]]:
    """Weigh memory bank and position statistics by the trial, the probe as in a full training.

    Returns:
        The detector, and which of the branch maps it still has.
    """
    names = list(detector.branches.names)
    others = [name for name in names if name != PROBE]
    chosen = [1.0] * len(others)
    if len(others) > 1:
        detector = scaled(detector, judged.maps)
        trials = {
            shares: _separation(detector, judged, (*shares, 0.0), tiles)
            for shares in itertools.product((0.0, 0.5, 1.0), repeat=len(others))
            if max(shares) == 1
        }
        chosen = mixture(trials)
    chosen.append(PROBE_SHARE / (1 - PROBE_SHARE) * sum(chosen))
    smaller = without_useless(detector, dict(zip([*others, PROBE], chosen, strict=True)))
    return smaller, [names.index(name) for name in smaller.branches.names]


def _separation(
    detector: Detector, judged: Judged, shares: Sequence[float], tiles: int
) -> Placements:
    tried = with_shares(detector, shares)
    good, defective = (
        tried.judge(maps).score.reshape(-1, tiles).amax(1).numpy()
        for maps in (judged.maps, judged.defective)
    )
    return placements(good, defective)


def _of_one(detector: Detector, pool: Pool, views: Tensor, seed: int) -> Tensor:
    """What the only part scores, by its own other places and at least as its views (n,)."""
    places = float(detector.judge(by_other_places(detector, pool, seed)).score.max())
    highest = max(places + (OTHER_PARTS - 1) * abs(places), float(views.max()))
    return views.new_full(views.shape, highest)


def _calibration(samples: Sequence[Sample], pictures: Tensor, scores: Tensor) -> Calibration:
    """One score for each picture, the highest of those it has."""
    found = {int(place): float(scores[pictures == place].max()) for place in pictures.unique()}
    order = sorted(found)
    return Calibration(
        files=tuple(samples[place].path.name for place in order),
        groups=tuple(samples[place].group for place in order),
        scores=tuple(found[place] for place in order),
        method="cross-conformal" if len(samples) > 1 else "other-places",
    )
