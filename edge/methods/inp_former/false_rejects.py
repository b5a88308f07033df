"""Good parts that the station rejected, learned as normal.

Their tokens join the memory bank behind what it holds, and their cells the probe's good ones. The
bank forgets nothing, so no distance of it grows, and it grows by a share at most. Statistics of
positions and of whole images stay: a few odd parts would move them for all. Scales stay as well,
so that scores before and after compare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from edge.data.false_rejects import FalseRejects
from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.data.products import Products
from edge.errors import TrainingError
from edge.methods.inp_former.branches import MEMORY, PROBE
from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.known_maps import KnownMaps
from edge.methods.inp_former.memory_bank import MemoryBank
from edge.methods.inp_former.probe_fitting import (
    PICTURES,
    SYNTHETIC_RIDGE,
    Cells,
    fit_probe,
    probe_of,
    synthetic_cells,
)
from edge.methods.inp_former.reject_scores import score_of, scores_of
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.run_record import RejectTrial
from edge.networks.features import Groups
from edge.training.feature_cache import extract
from edge.training.run_folder import Calibration

# The bank grows by this share of its vectors at most.
RESERVE = 1 / 8
# Good cells of a false reject: so many of the highest ones, which it was rejected for, and others.
HIGHEST_CELLS, OTHER_CELLS = 64, 64
# Weight of all false rejects together among the probe's good cells.
SHARE = 0.2
# The score of a held-out good part may rise by so much of the distance between the median and the
# LINE_QUANTILE of all of them: a probe that is fitted anew moves everything a little.
RISE = 0.02
# The line's threshold is near this quantile of the good parts' scores.
LINE_QUANTILE = 0.95


class Lesson(NamedTuple):
    """What false rejects have taught.

    Attributes:
        detector: with their tokens, or the one given where the trial fails.
        calibration: of the held-out good parts by it.
        cells: good cells of false rejects, for a probe of labelled defects.
        trial: what became of false rejects that were left out, and of good parts.
        known: maps of the held-out parts by the detector, where some were given.
    """

    detector: Detector
    calibration: Calibration
    cells: Cells
    trial: RejectTrial
    known: KnownMaps | None


@dataclass(frozen=True, slots=True)
class _Picture:
    """Features of one false reject: groups (t, N, C_g) float16, cells (n, C) good for a probe."""

    groups: Groups
    cells: Cells

    def score(self, detector: Detector) -> float:
        return score_of(detector, tuple(group.float() for group in self.groups))


def reject_units(rejects: FalseRejects, products: Products) -> int:
    """How far learn_false_rejects' `advance` counts at most."""
    return len(rejects.samples) + min(PICTURES, len(products.train)) + len(products.held_out)


@torch.no_grad()
def learn_false_rejects(
    detector: Detector,
    rejects: FalseRejects,
    products: Products,
    shape: InputShape,
    training: TrainingSettings,
    advance: Callable[[int], None],
    known: KnownMaps | None = None,
) -> Lesson:
    """Teach false rejects, if others of them then score lower and no good part scores higher.

    Tried with the memory bank and the probe of synthetic defects, else with the bank alone. Each
    half is tried by a detector that learned the other one; the result learns both.

    Args:
        detector: of a finished run with calibrated branches; is not changed.
        rejects: good pictures; they set no threshold.
        products: the good parts of the run.
        shape: network inputs of a picture.
        training: how the probe of synthetic defects was fitted.
        advance: called as reject_units counts.
        known: maps of the held-out parts where the detector has learned from them, too.

    Raises:
        DataError: a picture is unreadable.
        TrainingError: the run has neither bank nor probe.
    """
    if MEMORY not in detector.branches and PROBE not in detector.branches:
        raise TrainingError("--false-rejects: the run has no memory bank and no probe to teach")
    rng = np.random.default_rng((training.seed, len(rejects.samples)))
    halves = [
        [_read(detector, sample, shape, rng, advance) for sample in half] for half in rejects.halves
    ]
    both = [*halves[0], *halves[1]]
    cells = None
    if _has_synthetic_probe(detector):
        probe = probe_of(detector, PROBE)
        cells = synthetic_cells(detector, probe, products.train, shape, training, advance)
    tried = [_taught(detector, both, cells)]
    if cells is not None and MEMORY in detector.branches:
        tried.append(_taught(detector, both, None))
    scores, maps = scores_of([detector, *tried], products.held_out, shape, advance, known)
    before = [picture.score(detector) for picture in both]
    for number in range(1, 1 + len(tried)):
        with_cells = cells if number == 1 else None
        others = [_taught(detector, half, with_cells) for half in halves]
        after = [each.score(others[1]) for each in halves[0]]
        after += [each.score(others[0]) for each in halves[1]]
        trial = _trial(before, after, scores[:, 0], scores[:, number], rejects, cells=with_cells)
        if trial.is_kept:
            break
    number = number if trial.is_kept else 0
    calibration = Calibration(
        files=tuple(sample.path.name for sample in products.held_out),
        groups=tuple(sample.group for sample in products.held_out),
        scores=tuple(float(score) for score in scores[:, number]),
        method="split-conformal" if known is None else "cross-conformal",
    )
    if known is not None:
        known = replace(known, maps=torch.stack(maps[number]))
    return Lesson([detector, *tried][number], calibration, _joined(both), trial, known)


def with_share(cells: Cells, negatives: Cells) -> Cells:
    """Cells of a probe and good ones of false rejects, which have SHARE of all good weight."""
    factor = SHARE / (1 - SHARE) * cells.good.sum() / negatives.good.sum()
    return cells.joined(negatives.weighted(float(factor)))


def widened(memory: MemoryBank, tokens: Tensor, least: float, kept: int) -> MemoryBank:
    """Return a bank whose first `kept` vectors stay, and that also holds what is far from them.

    Farthest first, up to RESERVE of them; tokens nearer than `least` teach nothing.

    Args:
        memory: its vectors beyond `kept` are of earlier false rejects, and go.
        tokens: (n, C) aggregated unit tokens of false rejects.
        least: distance, that of an ordinary good cell.
        kept: M.
    """
    bank = memory.bank[:kept]
    similarity = torch.cat([(part @ bank.T).amax(1) for part in tokens.split(4096)])
    squared = (2 - 2 * similarity).clamp_min(0)
    chosen: list[int] = []
    while len(chosen) < int(RESERVE * kept):
        farthest = int(squared.argmax())
        if squared[farthest] <= least**2:
            break
        chosen.append(farthest)
        squared = torch.minimum(squared, (2 - 2 * tokens @ tokens[farthest]).clamp_min(0))
    return MemoryBank(torch.cat([bank, tokens[chosen]]), memory.neighbourhood)


def _read(
    detector: Detector,
    sample: Sample,
    shape: InputShape,
    rng: np.random.Generator,
    advance: Callable[[int], None],
) -> _Picture:
    groups = extract(detector, network_inputs(read_view(sample).pixels_bgr, shape))
    tokens = torch.cat(groups, -1)
    level = detector.fused(detector.branch_maps(groups))[0]
    height = nn.functional.adaptive_max_pool2d(level, detector.features.grid_hw).flatten()
    others = torch.from_numpy(rng.permutation(len(height))[:OTHER_CELLS])
    highest = height.topk(min(HIGHEST_CELLS, len(height))).indices
    chosen = torch.cat([highest, others]).unique()
    inputs = tokens
    if PROBE in detector.branches:
        inputs = probe_of(detector, PROBE).inputs(tokens)
    nothing = torch.zeros(len(chosen))
    cells = Cells(
        inputs.flatten(0, 1)[chosen], nothing.long(), nothing, nothing + 1, nothing.long()
    )
    advance(1)
    return _Picture(tuple(group.half() for group in groups), cells)


def _has_synthetic_probe(detector: Detector) -> bool:
    """A probe of labelled defects is fitted anew with its labels, or stays."""
    branches = detector.branches
    return PROBE in branches and branches.prelabel_weight is None


def with_rejects(
    detector: Detector, pictures: Sequence[Groups], probe: DefectProbe | None = None
) -> Detector:
    """The detector with the tokens of false rejects in its bank, and with another probe, if given.

    Args:
        detector: is not changed.
        pictures: features of false rejects; those that the bank had before give way to them.
        probe: in the place of the detector's own.
    """
    settings, old = detector.settings, detector.branches
    scorers: dict[str, nn.Module] = {} if probe is None else {PROBE: probe}
    wanted = settings.branches
    if MEMORY in old:
        memory = old[MEMORY].scorer
        assert isinstance(memory, MemoryBank)  # noqa: S101 - narrowing only
        tokens = [
            memory.aggregated(detector.unit_groups(torch.cat(groups, -1).float()))
            for groups in pictures
        ]
        kept = len(memory.bank) - wanted.memory_rejects
        flat = torch.cat([each.flatten(0, 1) for each in tokens])
        scorers[MEMORY] = larger = widened(memory, flat, float(old[MEMORY].offset), kept)
        count = len(larger.bank)
        wanted = wanted.model_copy(update={"memory": count, "memory_rejects": count - kept})
    changed = detector.adapted(settings.model_copy(update={"branches": wanted}), scorers)
    constants = {
        name: torch.cat([getattr(branch, name) for branch in old])
        for name in ("weight", "offset", "scale")
    }
    if old.prelabel_weight is not None:
        constants["prelabel_weight"] = old.prelabel_weight
    return changed.replaced(branches=changed.branches.changed(**constants))


def _taught(detector: Detector, pictures: Sequence[_Picture], cells: Cells | None) -> Detector:
    """The detector with these false rejects in its bank and, with `cells`, in its probe."""
    probe = None
    if cells is not None:
        probe = _probe(probe_of(detector, PROBE), cells, _joined(pictures))
    return with_rejects(detector, [picture.groups for picture in pictures], probe)


def _probe(probe: DefectProbe, cells: Cells, negatives: Cells) -> DefectProbe:
    return fit_probe(probe, with_share(cells, negatives), SYNTHETIC_RIDGE)


def _joined(pictures: Sequence[_Picture]) -> Cells:
    joined = pictures[0].cells
    for picture in pictures[1:]:
        joined = joined.joined(picture.cells)
    return joined


def _trial(
    before: Sequence[float],
    after: Sequence[float],
    good_before: Tensor,
    good_after: Tensor,
    rejects: FalseRejects,
    *,
    cells: Cells | None,
) -> RejectTrial:
    line_before, line_after = (
        float(each.quantile(LINE_QUANTILE)) for each in (good_before, good_after)
    )
    rise = float((good_after - good_before).max())
    spread = line_before - float(good_before.median())
    falls = float(np.mean(after)) < float(np.mean(before))
    return RejectTrial(
        pictures=len(before),
        parts=len({sample.group for sample in rejects.samples}),
        score_before=round(float(np.mean(before)), 4),
        score_after=round(float(np.mean(after)), 4),
        rejected_before=sum(score > line_before for score in before),
        rejected_after=sum(score > line_after for score in after),
        good_rise=round(rise, 4),
        with_probe=cells is not None,
        is_kept=falls and rise <= RISE * max(spread, 0.0),
    )
