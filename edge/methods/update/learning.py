"""What a finished run learns from reviews: false rejects as normal, defects as defects.

The cells of false rejects join the memory bank. A direction in the features is fitted to the cells
of defects, against those of good parts and of false rejects. The run takes either as far as reviews
gain that it was not fitted to (docs/adr/0052).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from edge.data.image_set import Sample
from edge.data.products import Products
from edge.evaluation.paired_auroc import placements
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.false_rejects import LINE_QUANTILE
from edge.methods.inp_former.fusion_fitting import with_probe
from edge.methods.run_record import ProbeTrial, RejectTrial
from edge.methods.types.map_learning import Ground, Learned, unchanged
from edge.methods.update.blending import Blend, Guard, Pictures, best_blend, with_new_map, worth
from edge.methods.update.reviewed import ReviewedPicture
from edge.methods.update.suspects import suspects
from edge.methods.update.teacher import Teacher
from edge.training.progress import Progress
from edge.training.run_folder import Calibration


@dataclass(frozen=True, slots=True)
class Lesson:
    """What reviews have taught.

    Attributes:
        learned: detector and calibration; unchanged where nothing was kept.
        suspects: pictures that were left out, for their labels are far from what they say.
        share: weight of the new map beside that of the run; 0 where it takes nothing.
        worth: of every share that was tried, see blending.worth.
    """

    learned: Learned
    suspects: tuple[Sample, ...]
    share: float = 0.0
    worth: dict[float, float] = field(default_factory=dict)


@torch.no_grad()
def learn_reviews(teacher: Teacher, samples: Sequence[Sample], progress: Progress) -> Lesson:
    """Teach reviewed pictures as far as those gain that were left out.

    Args:
        teacher: of the run.
        samples: false rejects are `good`, all others are defects, with masks or without. Groups are
            their parts.
        progress: of the stages "reviews" and "held-out parts".

    Raises:
        DataError: a picture cannot be used.
    """
    ground = teacher.ground
    advance = progress("reviews", len(samples))
    pictures = []
    for sample in samples:
        pictures.append(teacher.read_reviewed(sample))
        advance(1)
    wrong = _suspects(pictures)
    doubted = tuple(each.sample for each, out in zip(pictures, wrong, strict=True) if out)
    kept = [each for each, out in zip(pictures, wrong, strict=True) if not out]
    if not kept:
        return Lesson(unchanged(ground), doubted)
    return _taught(teacher, kept, doubted, progress)


def _taught(
    teacher: Teacher,
    pictures: Sequence[ReviewedPicture],
    doubted: tuple[Sample, ...],
    progress: Progress,
) -> Lesson:
    """Take of the bank and of the direction what pictures gain by others."""
    ground = teacher.ground
    is_good = np.array([each.sample.is_good for each in pictures], np.bool_)
    good, reviews = teacher.judged_good(pictures, progress), teacher.judged_reviews(pictures)
    synthetic = teacher.judged_synthetic(pictures, progress)
    before = _blend(ground.detector, good.before, reviews.before, is_good)
    guard = Guard.of(synthetic.before, before)
    best, detector = before, ground.detector
    maps = [each.before for each in (good, reviews, synthetic)]
    rejects = None
    if is_good.any():
        banked = teacher.banked(pictures)
        with_bank = _blend(banked, good.banked, reviews.banked, is_good)
        is_safe = guard.holds(banked, with_bank.good, synthetic.banked)
        rejects = _reject_trial(pictures, before, with_bank, is_safe=is_safe)
        if rejects.is_kept:
            best, detector = with_bank, banked
            maps = [each.banked for each in (good, reviews, synthetic)]
    worths: Mapping[float, float] = {}
    if (probe := teacher.probe(pictures)) is not None:
        candidate = with_probe(with_new_map(detector), probe)
        on_good, on_reviews, on_synthetic = (
            each.with_last(seen.new, len(candidate.branches.weight))
            for each, seen in zip(maps, (good, reviews, synthetic), strict=True)
        )
        guard = guard._replace(defects=on_synthetic)
        best, worths = best_blend(best, candidate, on_good, on_reviews, is_good, guard)
    if best is before:
        learned = unchanged(ground)
    else:
        calibration = _calibration(ground, best, pictures)
        learned = Learned(best.detector, calibration, None, None, is_changed=True)
    trial = None
    if worths:
        trial = _defect_trial(before, best, is_good)
    learned = learned._replace(probe=trial, rejects=rejects or learned.rejects)
    return Lesson(learned, doubted, best.share, dict(worths))


def _suspects(pictures: Sequence[ReviewedPicture]) -> NDArray[np.bool_]:
    """Which labels are far from what they say."""
    is_good = np.array([each.sample.is_good for each in pictures], np.bool_)
    # Nobody draws by a slip of the hand, and a missed defect may well look like good parts.
    is_drawn = np.array([each.sample.mask is not None for each in pictures], np.bool_)
    described = np.array([each.described for each in pictures]).reshape(len(pictures), -1)
    return suspects(described, is_good, [each.sample.group for each in pictures]) & ~is_drawn


def _blend(
    detector: Detector, good: Pictures, reviews: Pictures, is_good: NDArray[np.bool_]
) -> Blend:
    """A detector that takes nothing of the new map."""
    on_good, on_reviews = good.scores(detector), reviews.scores(detector)
    return Blend(0.0, detector, on_good, on_reviews, worth(on_good, on_reviews, is_good))


def _calibration(ground: Ground, best: Blend, pictures: Sequence[ReviewedPicture]) -> Calibration:
    assert isinstance(ground.products, Products)  # noqa: S101 - the caller has looked
    held_out = ground.products.held_out
    return Calibration(
        files=tuple(sample.path.name for sample in held_out),
        groups=tuple(sample.group for sample in held_out),
        scores=tuple(float(score) for score in best.good),
        method="split-conformal" if ground.known is None else "cross-conformal",
        labelled=tuple(
            (each.sample.label, float(score))
            for each, score in zip(pictures, best.reviews, strict=True)
            if not each.sample.is_good
        ),
    )


def _reject_trial(
    pictures: Sequence[ReviewedPicture], before: Blend, banked: Blend, *, is_safe: bool
) -> RejectTrial:
    """False rejects by banks without their part; the bank stays unless reviews lose by it."""
    chosen = [number for number, each in enumerate(pictures) if each.sample.is_good]
    old, new = before.reviews[chosen], banked.reviews[chosen]
    return RejectTrial(
        pictures=len(chosen),
        parts=len({pictures[number].sample.group for number in chosen}),
        score_before=round(float(old.mean()), 4),
        score_after=round(float(new.mean()), 4),
        rejected_before=int((old > np.quantile(before.good, LINE_QUANTILE)).sum()),
        rejected_after=int((new > np.quantile(banked.good, LINE_QUANTILE)).sum()),
        good_rise=round(float((banked.good - before.good).max()), 4),
        with_probe=False,
        is_kept=is_safe and banked.worth >= before.worth and banked.detector is not before.detector,
    )


def _defect_trial(before: Blend, after: Blend, is_good: NDArray[np.bool_]) -> ProbeTrial:
    """Defects by what was not fitted to their part."""
    old, new = (placements(each.good, each.reviews[~is_good]).auroc for each in (before, after))
    return ProbeTrial(
        defects=int((~is_good).sum()),
        auroc_before=round(old, 4),
        auroc_after=round(new, 4),
        is_kept=after.share > 0,
    )
