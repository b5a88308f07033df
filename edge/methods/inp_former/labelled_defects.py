"""Labelled defects of the run's own product, learned as a branch of its anomaly map.

The probe of a fresh run is fitted to synthetic defects alone. A handful of labelled ones give it
the direction that matters; map, score and the calibration of the threshold are made anew with it.
Its worth is measured on labelled parts that it was not fitted to, and it is left out where it
costs.

A probe with half of the fusion weight knows only the labelled kinds and lowers the map of every
other kind. So the pre-label map is kept, and the larger of the two maps counts (docs/adr/0020).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.data.products import Products
from edge.errors import TrainingError
from edge.evaluation.paired_auroc import is_worse, placements
from edge.methods.inp_former.assembly import new_probe
from edge.methods.inp_former.branches import PRELABEL_PROBE, PROBE
from edge.methods.inp_former.calibration import with_branch_scales
from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.fusion_fitting import with_probe
from edge.methods.inp_former.probe_fitting import (
    LABELLED_RIDGE,
    PICTURES,
    Cells,
    fit_probe,
    labelled_cells,
    probe_of,
)
from edge.methods.run_record import ProbeTrial
from edge.training.feature_cache import extract

# The probe's weight relative to all other branches together.
SHARE = 1.0
FOLDS = 5
# AUROC on labelled parts may fall by so much, or by as much as chance may take.
TOLERANCE = 0.01


class Labelled(NamedTuple):
    """Labelled pictures of a product and the cells of their defects."""

    defects: Sequence[Sample]
    cells: Cells
    shape: InputShape


class Trial(NamedTuple):
    """One picture: branch maps (tiles, K, h, w) of a candidate, and scores of the old detector."""

    maps: Tensor
    score_before: Tensor


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
    """Fit a probe to labelled defects with masks, unless that costs more than chance explains.

    Args:
        detector: of a finished run on whole frames, with calibrated branches; is not changed.
        defects: labelled pictures with masks.
        products: the good parts that the detector was fitted to and those held out.
        seed: of the cells that are kept.
        advance: called as learning_units counts.

    Returns:
        A detector whose score has no scale yet (see calibration.calibrate), or the one given where
        AUROC on labelled parts falls by more than chance; and the result of the trial.

    Raises:
        DataError: a picture or mask is unreadable.
        TrainingError: all masks are empty.
    """
    shape = InputShape(detector.settings.size_wh)
    rng = np.random.default_rng(seed)
    some = rng.permutation(len(products.train))[:PICTURES]
    good = [products.train[int(index)] for index in some]
    candidate = with_label_probe(detector, len({sample.label for sample in defects}))
    unfitted = probe_of(candidate, PROBE)
    cells = labelled_cells(detector, unfitted, defects, good, shape, seed, advance)
    if not bool((cells.defect > 0).any()):
        raise TrainingError(
            f"--data: expected defects marked white in ground_truth, found {len(defects)} empty "
            "masks; mark them, or --names-only"
        )
    candidate = with_probe(candidate, fit_probe(unfitted, cells, LABELLED_RIDGE))
    advance(1)
    on_good = [_try(candidate, detector, sample, shape, advance) for sample in products.held_out]
    labelled = Labelled(defects, cells, shape)
    on_defects = _cross_validated(candidate, unfitted, detector, labelled, advance)
    candidate = with_branch_scales(candidate, torch.cat([each.maps for each in on_good]))
    before = placements(
        *(_scores(each.score_before for each in of) for of in (on_good, on_defects))
    )
    after = placements(
        *(_scores(candidate.judge(each.maps).score for each in of) for of in (on_good, on_defects))
    )
    trial = ProbeTrial(
        defects=len(defects),
        auroc_before=round(before.auroc, 4),
        auroc_after=round(after.auroc, 4),
        is_kept=not is_worse(before, after, TOLERANCE),
    )
    return (candidate if trial.is_kept else detector), trial


def with_label_probe(detector: Detector, kinds: int) -> Detector:
    """Return the detector with an unfitted probe of so many kinds, and with a pre-label map.

    That map is the detector's own map, or its pre-label map where it has one already. Its probe has
    no weight in the new map.
    """
    branches, settings = detector.branches, detector.settings
    weight, name = branches.weight, PROBE
    if branches.prelabel_weight is not None:  # it was fitted to labelled defects before
        weight, name = branches.prelabel_weight[:-1], PRELABEL_PROBE
    scorers: dict[str, nn.Module] = {}
    prelabel_kinds, others = 0, weight
    if name in branches:
        probe = probe_of(detector, name)
        scorers[PRELABEL_PROBE] = probe
        prelabel_kinds, others = probe.kinds, weight[:-1]
    fields = {"probe": kinds, "prelabel_probe": prelabel_kinds}
    changed = settings.model_copy(
        update={
            "branches": settings.branches.model_copy(update=fields),
            "map": settings.map.model_copy(update={"keep_prelabel_map": True}),
        }
    )
    scorers[PROBE] = new_probe(detector.features, kinds, settings.branches.probe_neighbourhood)
    candidate = detector.adapted(changed, scorers)
    unused = torch.zeros(len(weight) - len(others))
    now = torch.cat([others / others.sum(), unused, torch.tensor([SHARE])])
    return candidate.replaced(
        branches=candidate.branches.changed(
            weight=now / now.sum(), prelabel_weight=torch.cat([weight, torch.zeros(1)])
        )
    )


def _try(
    candidate: Detector,
    detector: Detector,
    sample: Sample,
    shape: InputShape,
    advance: Callable[[int], None],
) -> Trial:
    groups = extract(detector, network_inputs(read_view(sample).pixels_bgr, shape))
    advance(1)
    return Trial(candidate.branch_maps(groups), detector.judge(detector.branch_maps(groups)).score)


def _cross_validated(
    candidate: Detector,
    unfitted: DefectProbe,
    detector: Detector,
    labelled: Labelled,
    advance: Callable[[int], None],
) -> list[Trial]:
    """Try the labelled pictures, each with a probe that was not fitted to its part."""
    cells = labelled.cells
    parts = sorted({sample.group for sample in labelled.defects})
    found: list[Trial] = []
    for fold in range(FOLDS):
        numbers = [1 + index for index in range(len(parts)) if index % FOLDS == fold]
        others = cells.where(~torch.isin(cells.parts, torch.tensor(numbers)))
        probe = unfitted
        if bool((others.defect > 0).any()):
            probe = fit_probe(unfitted, others, LABELLED_RIDGE)
        without = with_probe(candidate, probe)
        found += [
            _try(without, detector, sample, labelled.shape, advance)
            for sample in labelled.defects
            if parts.index(sample.group) % FOLDS == fold
        ]
        advance(1)
    return found


def _scores(each: Iterable[Tensor]) -> NDArray[np.float32]:
    return np.asarray(torch.cat(list(each)), np.float32)
