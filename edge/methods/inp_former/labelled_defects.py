"""Labelled defects of the run's own product, learned as a branch of its anomaly map.

The probe of a fresh run knows synthetic defects alone. A handful of real ones teach it the
direction that matters; map, score and the calibration of the threshold are made anew with it. What
it is worth is measured on labelled parts that it was not taught, and it stays out where it costs.

A probe that has half of the say knows its own kinds alone and speaks against every other. So the
run goes on seeing what it saw before, and the larger of the two counts (docs/adr/0020).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_pixels
from edge.data.products import Products
from edge.errors import TrainingError
from edge.evaluation.paired_auroc import is_worse, placements
from edge.methods.inp_former.branch_fitting import align_before, rebuilt
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.probe_fitting import (
    LABELLED_RIDGE,
    PICTURES,
    Cells,
    fit_probe,
    labelled_cells,
)
from edge.methods.run_record import ProbeTrial
from edge.training.feature_cache import extract

# The probe's say beside all the rest together.
SHARE = 1.0
FOLDS = 5
# AUROC on labelled parts may fall by so much, or by as much as chance may take.
TOLERANCE = 0.01


def learning_units(defects: Sequence[Sample], products: Products) -> int:
    """How far learn_defects' `advance` counts."""
    shown = min(PICTURES, len(products.train))
    return 2 * len(defects) + shown + len(products.held_out) + FOLDS + 1


@torch.no_grad()
def learn_defects(
    detector: Detector,
    defects: Sequence[Sample],
    products: Products,
    seed: int,
    advance: Callable[[int], None],
) -> tuple[Detector, ProbeTrial]:
    """Teach a detector labelled defects with masks, unless that costs more than chance explains.

    `detector` is a finished run's that judges whole frames with calibrated branches, `products` the
    good parts that it learned from and those it held out.

    Returns:
        A detector whose branches have no scale yet (see fit.calibrate), or the one given
        where AUROC on labelled parts falls by more than chance; and what was found.

    Raises:
        DataError: a picture or mask is unreadable.
        TrainingError: all masks are empty.
    """
    shape = InputShape(detector.settings.size_wh)
    rng = np.random.default_rng(seed)
    some = rng.permutation(len(products.train))[:PICTURES]
    good = [products.train[int(index)] for index in some]
    taught = _with_probe(detector, len({sample.label for sample in defects}))
    cells = labelled_cells(taught, defects, good, shape, seed, advance)
    if not bool((cells.defect > 0).any()):
        raise TrainingError(
            f"--data: expected defects marked white in ground_truth, found {len(defects)} empty "
            "masks; mark them, or --names-only"
        )
    assert taught.probe is not None  # noqa: S101 - narrowing only
    fit_probe(taught.probe, cells, LABELLED_RIDGE)
    advance(1)
    good_seen = [_see(taught, detector, sample, shape, advance) for sample in products.held_out]
    defects_seen = _see_unseen(taught, detector, cells, defects, shape, advance)
    all_seen = (good_seen, defects_seen)
    good_maps = torch.cat([each.maps for each in good_seen])
    taught.fuse.calibrate(good_maps)
    align_before(taught, good_maps)
    before = placements(*(_together(each.before for each in seen) for seen in all_seen))
    after = placements(
        *(_together(taught.judge(each.maps).score for each in seen) for seen in all_seen)
    )
    trial = ProbeTrial(
        defects=len(defects),
        auroc_before=round(before.auroc, 4),
        auroc_after=round(after.auroc, 4),
        is_kept=not is_worse(before, after, TOLERANCE),
    )
    return (taught if trial.is_kept else detector), trial


def _together(scores: Iterable[Tensor]) -> NDArray[np.float32]:
    return np.asarray(torch.cat(list(scores)), np.float32)


def _with_probe(detector: Detector, kinds: int) -> Detector:
    """The detector with an untaught probe for so many kinds beside all that judged before."""
    judged, weight = detector.probe, detector.fuse.weight
    if detector.before_weight is not None:  # taught a second time
        judged, weight = detector.probe_before, detector.before_weight[:-1]
    distances = weight if judged is None else weight[:-1]
    settings = detector.settings
    branches = {"probe": kinds, "probe_before": 0 if judged is None else judged.kinds}
    taught = rebuilt(
        detector,
        settings.branches.model_copy(update=branches),
        settings.map.model_copy(update={"before": True}),
    )
    silent = torch.zeros(len(taught.fuse.weight) - len(distances) - 1)
    others = torch.cat([distances / distances.sum(), silent])
    now = torch.cat([others, torch.tensor([SHARE])])
    taught.fuse.weight.copy_(now / now.sum())
    assert taught.before_weight is not None  # noqa: S101 - narrowing only
    taught.before_weight.copy_(torch.cat([weight, torch.zeros(1)]))
    if judged is not None and taught.probe_before is not None:
        taught.probe_before.load_state_dict(judged.state_dict())
    return taught


class _Seen(NamedTuple):
    """One picture: branch maps of the taught detector, and the score of the one before."""

    maps: Tensor
    before: Tensor


def _see(
    taught: Detector,
    detector: Detector,
    sample: Sample,
    shape: InputShape,
    advance: Callable[[int], None],
) -> _Seen:
    groups = extract(detector, network_inputs(read_pixels(sample.path), shape))
    advance(1)
    return _Seen(taught.branches(groups), detector.judge(detector.branches(groups)).score)


def _see_unseen(
    taught: Detector,
    detector: Detector,
    cells: Cells,
    defects: Sequence[Sample],
    shape: InputShape,
    advance: Callable[[int], None],
) -> list[_Seen]:
    """See the labelled pictures, each by a probe that was not taught its part."""
    whole = taught.probe
    assert whole is not None  # noqa: S101 - narrowing only
    parts = sorted({sample.group for sample in defects})
    found: list[_Seen] = []
    for fold in range(FOLDS):
        left_out = torch.tensor([1 + index for index in range(len(parts)) if index % FOLDS == fold])
        seen = cells.where(~torch.isin(cells.parts, left_out))
        taught.probe = whole.untaught()
        if bool((seen.defect > 0).any()):
            fit_probe(taught.probe, seen, LABELLED_RIDGE)
        found += [
            _see(taught, detector, sample, shape, advance)
            for sample in defects
            if parts.index(sample.group) % FOLDS == fold
        ]
        advance(1)
    taught.probe = whole
    return found
