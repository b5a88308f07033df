"""The verdict on a part, of one view or of several: the worst view decides (docs/adr/0035)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from time import monotonic_ns

from edge.frame import Frame
from edge.inspection.inspector import Inspected
from edge.messages.identity import ModelInfo
from edge.outputs.sink import Decided
from edge.result import Inspection, Verdict

# A defect that one view shows is certain, whatever the others say. A view that is missing may hide
# one; doubt about a view that was seen is less than that. Only a part that was seen from all sides
# passes.
_WORST_LAST = (Verdict.PASS, Verdict.UNDECIDED, Verdict.ERROR, Verdict.FAIL)


def judge_part(
    frame: Frame, judge: Callable[[Frame], Inspected], models: Mapping[str, ModelInfo]
) -> Decided:
    """Judge each view of a part, and let the worst stand for the part.

    Args:
        frame: of the first camera, with the others' frames of the same part.
        judge: inspects one frame.
        models: what judges the frames of a camera, by its name.
    """
    if not frame.others:
        inspection, anomaly_map = judge(frame)
        return Decided(inspection, frame, anomaly_map, models[frame.camera])
    views = [_judged(view, frame, judge, models) for view in (frame, *frame.others)]
    worst = decisive(views)
    inspection = replace(_until_now(worst), part=frame.part)
    return replace(worst, inspection=inspection, views=tuple(views))


def decisive(views: Sequence[Decided]) -> Decided:
    """Return the view that decides; of equally bad ones that with the highest score.

    Scores are compared as multiples of their thresholds. An optional view without a picture
    decides nothing.
    """
    seen = [view for view in views if not (view.frame.is_optional and view.frame.size_wh == (0, 0))]
    return max(seen, key=lambda view: (_WORST_LAST.index(view.inspection.verdict), _excess(view)))


def _judged(
    view: Frame, first: Frame, judge: Callable[[Frame], Inspected], models: Mapping[str, ModelInfo]
) -> Decided:
    view = replace(view, part=first.part or view.part, others=())
    inspection, anomaly_map = judge(view)
    # The next view overwrites the map if it is judged by the same engine.
    return Decided(inspection, view, anomaly_map, models[view.camera]).kept()


def _excess(view: Decided) -> float:
    score, threshold = view.inspection.score, view.inspection.threshold
    return score / threshold if score is not None and threshold else 0.0


def _until_now(worst: Decided) -> Inspection:
    """The verdict on a part is reached once all its views are judged."""
    times = worst.inspection.times
    total_ms = (monotonic_ns() - worst.frame.captured_ns) / 1e6
    waiting_ms = max(times.waiting_ms, total_ms - times.processing_ms)
    ended_at = datetime.now(timezone.utc)
    return replace(worst.inspection, ended_at=ended_at, times=replace(times, waiting_ms=waiting_ms))
