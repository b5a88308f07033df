"""Labelled defects of the run's own product, learned as a branch of its anomaly map.

The probe of a fresh run is fitted to synthetic defects alone. A handful of labelled ones give it
the direction that matters; map, score and the calibration of the threshold are made anew with it.
Its worth is measured on labelled parts that it was not fitted to, and it is left out where it
costs.

Pictures without a mask teach, too, by what stands out on them (unmarked_defects).

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
from edge.methods.inp_former.false_rejects import with_share
from edge.methods.inp_former.fusion_fitting import with_probe
from edge.methods.inp_former.known_maps import KnownMaps
from edge.methods.inp_former.probe_fitting import (
    LABELLED_RIDGE,
    PICTURES,
    Cells,
    Numbers,
    fit_probe,
    labelled_cells,
    probe_of,
)
from edge.methods.inp_former.unmarked_defects import (
    ROUNDS,
    UnmarkedDefects,
    read_unmarked,
    unmarked_units,
)
from edge.methods.run_record import ProbeTrial
from edge.training.feature_cache import extract
from edge.training.run_folder import KindScores

# The probe's weight relative to all other branches together.
SHARE = 1.0
FOLDS = 5
# AUROC on labelled parts may fall by so much, or by as much as chance may take.
TOLERANCE = 0.01


class Labelled(NamedTuple):
    """Labelled pictures of a product: cells of defects with masks, and pictures without."""

    defects: Sequence[Sample]
    cells: Cells
    unmarked: UnmarkedDefects | None
    shape: InputShape

    def fitted(self, candidate: Detector, left_out: Sequence[int] = ()) -> DefectProbe | None:
        """A probe like the candidate's, fitted to all parts but some; None without any defect.

        Each round takes the cells of unmarked pictures anew, by what the one before has learned.
        """
        unfitted = probe_of(candidate, PROBE)
        marked = self.cells.where(~torch.isin(self.cells.parts, torch.tensor(left_out).long()))
        unmarked = self.unmarked and self.unmarked.without(left_out)
        if unmarked is None or not unmarked.bad:
            return fit_probe(unfitted, marked, LABELLED_RIDGE) if marked.show_a_defect else None
        found = unmarked.first_cells(unfitted, candidate.features.grid_hw)
        probe = None
        for number in range(1 + ROUNDS):
            cells = marked.joined(found)
            if not cells.show_a_defect:
                break
            probe = fit_probe(unfitted, cells, LABELLED_RIDGE)
            if number < ROUNDS:
                found = unmarked.cells_by(with_probe(candidate, probe))
        return probe


class Trial(NamedTuple):
    """One picture: branch maps (tiles, K, h, w) of a candidate, and the old detector's score."""

    maps: Tensor
    score_before: float
    label: str


def learning_units(defects: Sequence[Sample], products: Products) -> int:
    """How far learn_defects' `advance` counts."""
    marked = sum(sample.mask is not None for sample in defects)
    shown = min(PICTURES, len(products.train))
    tried = len(defects) + len(products.held_out) + FOLDS
    return marked + shown + unmarked_units(defects, products.held_out) + 1 + tried


@torch.no_grad()
def learn_defects(
    detector: Detector,
    defects: Sequence[Sample],
    products: Products,
    shape: InputShape,
    seed: int,
    advance: Callable[[int], None],
    negatives: Cells | None = None,
    known: KnownMaps | None = None,
    judged: list[Trial] | None = None,
) -> tuple[Detector, ProbeTrial]:
    """Fit a probe to labelled defects, unless that costs more than chance explains.

    Args:
        detector: of a finished run with calibrated branches; is not changed.
        defects: labelled pictures, with masks or without.
        products: the good parts that the detector was fitted to and those held out.
        shape: network inputs of a picture.
        seed: of the cells that are kept.
        advance: called as learning_units counts.
        negatives: good cells of false rejects.
        known: maps of the held-out parts where the detector has learned from them, too.
        judged: takes the labelled pictures, each by a probe that was not fitted to its part.

    Returns:
        A detector whose score has no scale yet (see calibration.calibrate), or the one given where
        AUROC on labelled parts falls by more than chance; and the result of the trial.

    Raises:
        DataError: a picture or mask is unreadable.
        TrainingError: nothing marks a defect, and nothing stands out.
    """
    rng = np.random.default_rng(seed)
    some = rng.permutation(len(products.train))[:PICTURES]
    good = [products.train[int(index)] for index in some]
    candidate = with_label_probe(detector, len({sample.label for sample in defects}))
    unfitted = probe_of(candidate, PROBE)
    cells = labelled_cells(detector, unfitted, defects, good, shape, seed, advance)
    labelled = Labelled(
        defects,
        cells if negatives is None else with_share(cells, negatives),
        read_unmarked(detector, candidate, defects, products.held_out, shape, advance, known),
        shape,
    )
    probe = labelled.fitted(candidate)
    if probe is None:
        raise TrainingError(_nothing_shown(defects))
    unfitted_candidate, candidate = candidate, with_probe(candidate, probe)
    advance(1)
    on_good = [_try(candidate, detector, each, shape, advance) for each in products.held_out]
    if known is not None:
        on_good = [_as_known(detector, each, known, index) for index, each in enumerate(on_good)]
    on_defects = _cross_validated(unfitted_candidate, detector, labelled, advance)
    if judged is not None:
        judged += on_defects
    candidate = with_branch_scales(candidate, torch.cat([each.maps for each in on_good]))
    before = placements(*(_before(of) for of in (on_good, on_defects)))
    after = placements(*(_after(candidate, of) for of in (on_good, on_defects)))
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
    before = detector.judge(detector.branch_maps(groups)).score.amax()
    return Trial(candidate.branch_maps(groups), float(before), sample.label)


def _as_known(detector: Detector, trial: Trial, known: KnownMaps, index: int) -> Trial:
    """The trial of a good part by branches that did not learn from it."""
    before = detector.judge(known.maps[index]).score.amax()
    return Trial(known.of(index, trial.maps), float(before), trial.label)


def _cross_validated(
    candidate: Detector, detector: Detector, labelled: Labelled, advance: Callable[[int], None]
) -> list[Trial]:
    """Try the labelled pictures, each with a probe that was not fitted to its part.

    The candidate's own probe is not fitted.
    """
    numbers = Numbers.of(labelled.defects).parts
    found: list[Trial] = []
    for fold in range(FOLDS):
        left_out = [number for number in numbers.values() if (number - 1) % FOLDS == fold]
        probe = labelled.fitted(candidate, left_out) if left_out else None
        without = candidate if probe is None else with_probe(candidate, probe)
        found += [
            _try(without, detector, sample, labelled.shape, advance)
            for sample in labelled.defects
            if numbers[sample.group] in left_out
        ]
        advance(1)
    return found


@torch.no_grad()
def labelled_scores(detector: Detector, judged: Iterable[Trial]) -> KindScores:
    """Type and score of labelled pictures by the calibrated detector, without the image branch."""
    return tuple((each.label, float(detector.judge(each.maps).score.amax())) for each in judged)


def _before(trials: Iterable[Trial]) -> NDArray[np.float32]:
    return np.asarray([each.score_before for each in trials], np.float32)


def _after(candidate: Detector, trials: Iterable[Trial]) -> NDArray[np.float32]:
    """Scores of pictures, the highest of their network inputs."""
    scores = [float(candidate.judge(each.maps).score.amax()) for each in trials]
    return np.asarray(scores, np.float32)


def _nothing_shown(defects: Sequence[Sample]) -> str:
    marked = sum(sample.mask is not None for sample in defects)
    parts = [f"{marked} empty masks"] if marked else []
    if marked < len(defects):
        parts.append(f"{len(defects) - marked} pictures whose map is like that of good parts")
    return (
        f"--data: expected defects marked white in ground_truth, found {' and '.join(parts)}; mark "
        "them, or --names-only"
    )
