"""The threshold of a harmless defect type: it rejects only when it is strong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge.bundle.conformal import smallest_alpha
from edge.bundle.documents import GoodScores
from edge.bundle.recalibration import PassedOthers, Rejects
from edge.bundle.store import Bundle
from edge.bundle.thresholds import OwnThreshold, Threshold
from edge.bundle.values import MAX_SCORE
from edge.errors import ThresholdError
from edge.evaluation.intervals import clopper_pearson
from edge.evaluation.recalibration.judged import Score
from edge.evaluation.recalibration.threshold import parts_needed, threshold_of
from edge.result import Verdict


@dataclass(frozen=True, slots=True)
class FittedType:
    """A type's threshold with the scores it rests on, and what it does; see TypeRecord."""

    threshold: Threshold
    scores: GoodScores
    own: Rejects
    unnamed: int
    good: Rejects
    others: PassedOthers | None


def without_rejects(bundle: Bundle, name: str) -> Bundle:
    """Return the bundle with a threshold of the type that nothing reaches.

    Judged by it, a part says by its own verdict whether the threshold of the type is asked at all.
    """
    score = bundle.thresholds.score.model_copy(update={"value": MAX_SCORE})
    own = OwnThreshold(score=score, scores_file=bundle.thresholds.scores_file)
    types = {**bundle.thresholds.types, name: own}
    return replace(bundle, thresholds=bundle.thresholds.model_copy(update={"types": types}))


def fit_type(scores: Sequence[Score], name: str, share: float, common: float) -> FittedType:
    """Fit the threshold of a type: at most `share` of its parts reject.

    It is the conformal one of the labelled parts: a fresh part of the type, judged by the bundle,
    rejects with probability at most `share`. Parts that are rejected whatever the threshold count
    with MAX_SCORE.

    Args:
        scores: of parts that a bundle of `without_rejects` has judged: of this type, good ones,
            and maybe of other defects.
        name: of the type.
        share: of its parts that may reject.
        common: threshold of the bundle.

    Raises:
        ThresholdError: too few parts, a share that cannot be had, or one that the common threshold
            keeps already.
    """
    labelled = [each for each in scores if each.label == name]
    needed = [(_needed(each, common), each.part) for each in labelled]
    parts = len({part for _, part in needed})
    if share < smallest_alpha(parts) - 1e-12:
        raise ThresholdError(
            f"--type-threshold {name}: a share of {share:.2%} takes at least {parts_needed(share)} "
            f"parts labelled {name}, found {parts}; add some, or ask for a higher share"
        )
    threshold, known = threshold_of(needed, share, "labelled-type")
    unnamed = sum(value >= MAX_SCORE for value, _ in needed)
    if threshold.value >= MAX_SCORE:
        raise ThresholdError(
            f"--type-threshold {name}: {unnamed} of {len(needed)} pictures labelled {name} are "
            f"rejected whatever its threshold, for they show regions of another name or none, more "
            f"than {share:.2%} allow; ask for a higher share, or teach the type by more pictures"
        )
    if threshold.value <= common:
        raise ThresholdError(
            f"--type-threshold {name}: the threshold {common:.4f} of all parts rejects no more "
            f"than {share:.2%} of those labelled {name}; the type needs none of its own"
        )
    defects = [each for each in scores if not each.is_good and each.label != name]
    passed = sum(_passes_by(each, name, threshold.value) for each in defects)
    others = None
    if defects:
        low, high = clopper_pearson(passed, len(defects))
        others = PassedOthers(defects=len(defects), passed=passed, low=low, high=high)
    good = [each for each in scores if each.is_good]
    return FittedType(
        threshold=threshold,
        scores=known,
        own=_rejects(labelled, name, threshold.value),
        unnamed=unnamed,
        good=_rejects(good, name, threshold.value),
        others=others,
    )


def _asks(each: Score, name: str) -> bool:
    """The threshold of the type would decide on this picture."""
    return each.inspection is not None and each.inspection.threshold_type == name


def _is_rejected(each: Score) -> bool:
    return each.inspection is not None and each.inspection.verdict is Verdict.FAIL


def _needed(each: Score, common: float) -> float:
    """The lowest threshold of the type by which the picture passes."""
    if _asks(each, name=each.label or ""):
        return each.score
    return MAX_SCORE if _is_rejected(each) else min(each.score, common)


def _passes_by(each: Score, name: str, threshold: float) -> bool:
    return _asks(each, name) and each.score <= threshold


def _rejects(scores: Sequence[Score], name: str, threshold: float) -> Rejects:
    before = [each for each in scores if _asks(each, name) or _is_rejected(each)]
    after = sum(not _passes_by(each, name, threshold) for each in before)
    return Rejects(pictures=len(scores), before=len(before), after=after)
