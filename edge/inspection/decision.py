"""Numbers -> verdict. Doubt is never a pass."""

from __future__ import annotations

from dataclasses import dataclass

from edge.bundle.conformal import p_value
from edge.bundle.store import Bundle
from edge.result import Reason, Verdict


@dataclass(frozen=True, slots=True)
class Decision:
    """Verdict with its reason and evidence; `detail` is one line for people, often empty.

    `threshold` is the one that decides, of the type `threshold_type` where it is that type's own.
    """

    verdict: Verdict
    reason: Reason
    p_value: float
    threshold: float
    detail: str = ""
    threshold_type: str | None = None


def decide(
    bundle: Bundle,
    score: float,
    quality_problem: str | None = None,
    undecided_p: float | None = None,
) -> Decision:
    """Decide on one part.

    Args:
        bundle: gives the threshold and the calibration scores.
        score: finite score of the frame.
        quality_problem: why the frame does not look like a frame, or None.
        undecided_p: p-value below which a part that would pass becomes undecided.
    """
    p = p_value(bundle.scores, score, bundle.above)
    limit = bundle.thresholds.score.value
    if score > bundle.thresholds.score.value:
        return Decision(Verdict.FAIL, Reason.SCORE_ABOVE_THRESHOLD, p, limit, quality_problem or "")
    if quality_problem is not None:
        return Decision(Verdict.UNDECIDED, Reason.IMAGE_QUALITY, p, limit, quality_problem)
    if undecided_p is not None and p < undecided_p:
        return Decision(Verdict.UNDECIDED, Reason.IN_UNCERTAINTY_BAND, p, limit)
    return Decision(Verdict.PASS, Reason.SCORE_BELOW_THRESHOLD, p, limit)
