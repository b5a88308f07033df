"""Probes of synthetic defects, fitted without some shares of the good pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from edge.data.synthetic_defects import DEFECTS
from edge.methods.inp_former.branches import PROBE
from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.good_pictures import Good
from edge.methods.inp_former.probe_fitting import (
    PICTURES,
    SYNTHETIC_RIDGE,
    Cells,
    fit_probe,
    probe_of,
    synthetic_cells,
)
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.training.progress import Progress


def cells_by_share(
    detector: Detector, good: Good, training: TrainingSettings, progress: Progress
) -> list[Cells]:
    """Cells for the probe, share by share; empty if the detector has none."""
    if PROBE not in detector.branches:
        return []
    each = -(-PICTURES // good.count)
    groups = [_taught(good, share) for share in range(good.count)]
    rng = np.random.default_rng((training.seed, PICTURES))
    chosen = [rng.permutation(pictures)[:each] for pictures in groups]
    advance = progress("probe", sum(map(len, chosen)))
    cells = []
    for share, pictures in enumerate(chosen):
        settings = training.model_copy(
            update={
                "seed": training.seed * good.count + share,
                "probe_defects": -(
                    -training.probe_defects * len(pictures) // sum(map(len, chosen))
                ),
            }
        )
        samples = [good.samples[int(place)] for place in pictures]
        probe = probe_of(detector, PROBE)
        cells.append(synthetic_cells(detector, probe, samples, good.shape, settings, advance))
    return cells


def _taught(good: Good, share: int) -> NDArray[np.intp]:
    """Pictures of a share to learn from; all of it where none would be left."""
    pictures = good.with_shares([share])
    learned = np.intersect1d(pictures, good.learned)
    return learned if len(learned) else pictures


def probe_without(
    shaped: DefectProbe, cells: Sequence[Cells], left_out: Sequence[int]
) -> DefectProbe:
    """A probe of all kinds of synthetic defects, fitted to all shares but some."""
    return fit_probe(shaped, _joined(cells, left_out), SYNTHETIC_RIDGE)


def probes_by_kind(
    shaped: DefectProbe, cells: Sequence[Cells], left_out: Sequence[int]
) -> dict[str, DefectProbe]:
    """For every kind a probe that was fitted neither to it nor to some shares."""
    all_cells = _joined(cells, left_out)
    # For a trial, a quarter of the good cells will do.
    quarter = torch.arange(len(all_cells.kinds)) % 4 == 0
    few = all_cells.where((all_cells.defect > 0) | quarter)
    return {
        name: fit_probe(shaped, few.where(few.parts != number), SYNTHETIC_RIDGE)
        for number, name in enumerate(DEFECTS, 1)
    }


def _joined(cells: Sequence[Cells], left_out: Sequence[int]) -> Cells:
    kept = [each for share, each in enumerate(cells) if share not in left_out]
    together = kept[0]
    for each in kept[1:]:
        together = together.joined(each)
    return together
