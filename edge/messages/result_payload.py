"""The payload of one inspected part.

Lengths are pixels of the view as captured, origin top left, boxes are x, y, width, height;
millimetres appear only with a scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from edge.config.station import Language
from edge.messages.finding import wording
from edge.messages.identity import Identity, ModelInfo, rfc3339
from edge.messages.payload import Payload, head, model_of, recipe_of, rounded, significant
from edge.result import Inspection, Region
from edge.trigger import Trigger


class ViewResult(NamedTuple):
    """What one camera of several says of the part."""

    inspection: Inspection
    model: ModelInfo
    is_optional: bool


def result_payload(
    inspection: Inspection,
    identity: Identity,
    model: ModelInfo,
    language: Language = "en",
    *,
    job_id: str | None = None,
    triggered_at: datetime | None = None,
    trigger: Trigger | None = None,
    captured_ns: int = 0,
    is_late: bool = False,
    views: Sequence[ViewResult] = (),
) -> Payload:
    """Describe one inspected part; the outbox adds `msg_id` and `seq`, which order it.

    `language` is that of the regions' findings. `job_id` and `triggered_at`: the run that the part
    belongs to, and when a command announced it, where one did. `trigger`, `captured_ns` (monotonic
    clock, of the frame) and `is_late`: what announced the part, and whether the verdict came after
    its deadline. `views`: each view by itself, where the part has several; `inspection` and `model`
    are those of the view that decides.
    """
    times = inspection.times
    payload: Payload = {
        **head("result", identity),
        "is_replayed": inspection.is_replayed,
        "is_simulated": inspection.is_simulated,
        "is_partial": False,
        "times": {
            "capture": rfc3339(inspection.captured_at),
            "end": rfc3339(inspection.ended_at),
            "waiting_ms": rounded(times.waiting_ms, 2),
            "preprocess_ms": rounded(times.preprocess_ms, 2),
            "infer_ms": rounded(times.infer_ms, 2),
            "postprocess_ms": rounded(times.postprocess_ms, 2),
            "processing_ms": rounded(times.processing_ms, 2),
            "total_ms": rounded(times.total_ms, 2),
        },
        "product_id": model.product_id,
        "part": _part(inspection),
        "trigger": _trigger(trigger, captured_ns, is_late),
        "recipe": recipe_of(model),
        "model": model_of(model),
        "result": inspection.verdict.value,
        "evaluation": inspection.verdict.evaluation,
        "reason": inspection.reason.value,
        "score": significant(inspection.score),
        "threshold": significant(inspection.threshold),
        "p_value": significant(inspection.p_value),
        "defects": _defects(inspection, language),
        "views": [_view(inspection)],
    }
    if views:
        payload["view"] = inspection.camera
        payload["views"] = [_judged_view(view, language) for view in views]
    if inspection.threshold_type is not None:
        payload["threshold_type"] = inspection.threshold_type
    if inspection.detail:
        payload["detail"] = inspection.detail
    if job_id is not None:
        payload["job_id"] = job_id
    if triggered_at is not None:
        payload["times"]["trigger"] = rfc3339(triggered_at)
    if trigger is not None and trigger.deadline_ns is not None:
        payload["times"]["deadline_ms"] = rounded((trigger.deadline_ns - trigger.at_ns) / 1e6, 2)
        payload["times"]["deadline_met"] = not is_late
    return payload


def _trigger(trigger: Trigger | None, captured_ns: int, is_late: bool) -> Payload | None:
    if trigger is None:
        return None
    return {
        "id": trigger.id,
        "source": trigger.source,
        "at": rfc3339(trigger.at),
        "wait_ms": rounded(max(0, captured_ns - trigger.at_ns) / 1e6, 2),
        "is_late": is_late,
    }


def _part(inspection: Inspection) -> Payload | None:
    part = inspection.part
    if part is None:
        return None
    known = {"id": part.id, "id_source": part.id_source}
    return known if part.label is None else {**known, "label": part.label}


def _view(inspection: Inspection) -> Payload:
    width, height = inspection.size_wh
    return {
        "name": inspection.camera,
        "camera": inspection.camera,
        "frame_id": inspection.frame_id,
        "width": width,
        "height": height,
        "mm_per_px": significant(inspection.mm_per_px),
    }


def _judged_view(view: ViewResult, language: Language) -> Payload:
    """Describe one view of several, with what is said of it alone."""
    inspection = view.inspection
    payload = {
        **_view(inspection),
        "capture": rfc3339(inspection.captured_at),
        "is_optional": view.is_optional,
        "recipe": recipe_of(view.model),
        "model": model_of(view.model),
        "product_id": view.model.product_id,
        "result": inspection.verdict.value,
        "evaluation": inspection.verdict.evaluation,
        "reason": inspection.reason.value,
        "score": significant(inspection.score),
        "threshold": significant(inspection.threshold),
        "p_value": significant(inspection.p_value),
        "defects": _defects(inspection, language),
    }
    if inspection.threshold_type is not None:
        payload["threshold_type"] = inspection.threshold_type
    if inspection.detail:
        payload["detail"] = inspection.detail
    return payload


def _defects(inspection: Inspection, language: Language) -> list[Payload]:
    """Group the regions by defect type, the most conspicuous type first; vetoed ones apart."""
    types: dict[tuple[bool, str], list[Region]] = {}
    for region in sorted(inspection.regions, key=lambda region: (region.vetoed, -region.peak)):
        types.setdefault((region.vetoed, region.type), []).append(region)
    return [_defect(name, regions, inspection, language) for (_, name), regions in types.items()]


def _defect(
    name: str, regions: list[Region], inspection: Inspection, language: Language
) -> Payload:
    scores = [region.type_score for region in regions if region.type_score is not None]
    areas = [region.area_mm2 for region in regions if region.area_mm2 is not None]
    payload: Payload = {
        "type": name,
        "type_score": rounded(max(scores), 4) if scores else None,
        "peak": significant(max(region.peak for region in regions)),
        "area_px": rounded(sum(region.area_px for region in regions), 1),
        "area_mm2": rounded(sum(areas), 3) if areas else None,
        "regions": [_region(region, inspection, language) for region in regions],
    }
    if regions[0].threshold is not None:
        payload["threshold"] = significant(regions[0].threshold)
    if regions[0].vetoed:
        payload["vetoed"] = True
    return payload


def _region(region: Region, inspection: Inspection, language: Language) -> Payload:
    scale = inspection.mm_per_px
    payload: Payload = {
        "view": inspection.camera,
        "bbox": [int(value) for value in region.bbox_xywh],
        "polygon": [[int(x), int(y)] for x, y in region.polygon_xy],
        "centroid": [rounded(value, 1) for value in region.centroid_xy],
        "area_px": rounded(region.area_px, 1),
        "area_mm2": rounded(region.area_mm2, 3),
        "peak": significant(region.peak),
        "finding": wording(language).finding(region, inspection.size_wh, scale),
    }
    if region.vetoed:
        payload |= {"vetoed": True, "false_alarm": rounded(region.false_alarm, 4)}
    if scale is not None:
        payload["centroid_mm"] = [rounded(value * scale, 3) for value in region.centroid_xy]
    return payload
