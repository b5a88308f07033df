"""Payloads as plain dicts, and the JSON Schemas they obey. No I/O but reading a schema.

Lengths are pixels of the view as captured, origin top left, boxes are x, y, width, height;
millimetres appear only with a scale. Numbers that are not finite become null: JSON has no NaN.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from edge.mqtt.identity import Identity, ModelInfo, now, rfc3339
from edge.result import Inspection, Region

Payload = dict[str, Any]
KINDS = ("result", "status", "info", "state", "counters", "health", "alert", "alerts")


@cache
def schema(kind: str) -> Payload:
    """Return the JSON Schema (draft 2020-12) of a kind of payload."""
    text = (files("edge.mqtt") / "schemas" / f"{kind}.json").read_text(encoding="utf-8")
    loaded: Payload = json.loads(text)
    return loaded


def encode(payload: Payload) -> str:
    """Write a payload as compact JSON that every parser takes.

    Numbers that are not finite become null, NumPy scalars plain numbers, and characters that are
    not Unicode (file names may hold them) question marks: a message must not fail over a detail.
    """
    text = json.dumps(_finite(payload), ensure_ascii=False, separators=(",", ":"), default=_plain)
    return text.encode("utf-8", "replace").decode("utf-8")


def result_payload(inspection: Inspection, identity: Identity, model: ModelInfo) -> Payload:
    """Describe one inspected part; the outbox adds `msg_id` and `seq`, which order it."""
    times = inspection.times
    payload: Payload = {
        **_head("result", identity),
        "is_replayed": False,
        "is_simulated": inspection.is_simulated,
        "is_partial": False,
        "times": {
            "capture": rfc3339(inspection.captured_at),
            "end": rfc3339(inspection.ended_at),
            "waiting_ms": _rounded(times.waiting_ms, 2),
            "preprocess_ms": _rounded(times.preprocess_ms, 2),
            "infer_ms": _rounded(times.infer_ms, 2),
            "postprocess_ms": _rounded(times.postprocess_ms, 2),
            "processing_ms": _rounded(times.processing_ms, 2),
            "total_ms": _rounded(times.total_ms, 2),
        },
        "part": _part(inspection),
        "recipe": _recipe(model),
        "model": _model(model),
        "result": inspection.verdict.value,
        "evaluation": inspection.verdict.evaluation,
        "reason": inspection.reason.value,
        "score": _significant(inspection.score),
        "threshold": _significant(inspection.threshold),
        "p_value": _significant(inspection.p_value),
        "defects": _defects(inspection),
        "views": [_view(inspection)],
    }
    if inspection.detail:
        payload["detail"] = inspection.detail
    return payload


def status_payload(identity: Identity, state: str, version: str) -> Payload:
    """Say that the station is `online`, `stopped` or (as the will) `lost`.

    The broker sends the will long after it was written: its `ts` is the time of the connection.
    """
    return {**_head("status", identity), "state": state, "ts": now(), "version": version}


def info_payload(identity: Identity, model: ModelInfo, software: Mapping[str, str]) -> Payload:
    """Give the birth certificate; `software` maps names to versions."""
    schemas = {kind: schema(kind)["$id"] for kind in KINDS}
    return {
        **_head("info", identity),
        "ts": now(),
        "software": dict(software),
        "recipe": _recipe(model),
        "model": _model(model),
        "schemas": schemas,
    }


def state_payload(
    identity: Identity,
    state: str,
    *,
    mode: str | None = None,
    detail: str = "",
    model: ModelInfo | None = None,
    threshold: float | None = None,
    camera: Mapping[str, Any] | None = None,
) -> Payload:
    """Say what the station does, in the words of OPC 40100-1.

    Args:
        identity: who speaks.
        state: preoperational, halted, error or operational.
        mode: initialized, ready, single_execution or continuous_execution when operational.
        detail: one line for people.
        model: what judges, once it is loaded.
        threshold: the score from which a part fails.
        camera: name, connected and whatever else is known; no credentials in its address.
    """
    return {
        **_head("state", identity),
        "ts": now(),
        "state": state,
        "mode": mode,
        "detail": detail,
        "recipe": _recipe(model) if model else None,
        "model": _model(model) if model else None,
        "threshold": _significant(threshold),
        "camera": dict(camera) if camera else None,
    }


def counters_payload(
    identity: Identity, totals: Mapping[str, int], *, last_seq: int, lost: int, pending: int
) -> Payload:
    """Give totals since the outbox was made; results up to last_seq - pending are delivered."""
    return {
        **_head("counters", identity),
        "ts": now(),
        "last_seq": last_seq,
        "pending": pending,
        "lost": lost,
        "counts": dict(totals),
    }


def health_payload(
    identity: Identity,
    *,
    uptime_s: float,
    camera: Mapping[str, Any],
    latency_ms: Mapping[str, float | None],
    drops: Mapping[str, int],
    mqtt: Mapping[str, Any],
    host: Mapping[str, Any],
) -> Payload:
    """Give the periodic numbers.

    Args:
        identity: who speaks.
        uptime_s: seconds since the process started.
        camera: connected, fps, last_frame_age_ms, reconnects.
        latency_ms: p50, p95, p99 of capture to verdict.
        drops: frames dropped by reason.
        mqtt: `Publisher.stats`.
        host: memory_rss_bytes, disk_free_bytes, temperature_c and whatever else is known.
    """
    return {
        **_head("health", identity),
        "ts": now(),
        "uptime_s": _rounded(uptime_s, 1),
        "camera": dict(camera),
        "latency_ms": {name: _rounded(value, 2) for name, value in latency_ms.items()},
        "drops": dict(drops),
        "mqtt": dict(mqtt),
        "host": dict(host),
    }


def alert_payload(
    identity: Identity, *, code: str, severity: str, state: str, since: str, detail: str, count: int
) -> Payload:
    """Say that an alert was `raised` or `cleared`; `count` says how often since `since`."""
    alert = {"code": code, "severity": severity, "since": since, "detail": detail, "count": count}
    return {**_head("alert", identity), "ts": now(), "state": state, **alert}


def alerts_payload(identity: Identity, active: Sequence[Payload]) -> Payload:
    """List the alerts that are raised at present."""
    keys = ("code", "severity", "since", "detail", "count")
    alerts = [{key: alert[key] for key in keys} for alert in active]
    return {**_head("alerts", identity), "ts": now(), "alerts": alerts}


def _head(kind: str, identity: Identity) -> Payload:
    return {
        "schema": f"edge-infer.{kind}/1",
        "node": identity.node,
        "station": identity.station,
        "boot_id": identity.boot_id,
    }


def _recipe(model: ModelInfo) -> Payload:
    return {"id": model.recipe_id, "version": model.recipe_version, "sha256": model.recipe_sha256}


def _model(model: ModelInfo) -> Payload:
    engine = {
        "backend": model.backend,
        "precision": model.precision,
        "version": model.engine_version,
        "key": model.engine_key,
        "parity": model.parity,
    }
    identity = {"name": model.name, "version": model.version, "bundle_sha256": model.bundle_sha256}
    return {**identity, "engine": engine}


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
        "mm_per_px": _significant(inspection.mm_per_px),
    }


def _defects(inspection: Inspection) -> list[Payload]:
    """Group the regions by defect type, the most conspicuous type first."""
    types: dict[str, list[Region]] = {}
    for region in sorted(inspection.regions, key=lambda region: -region.peak):
        types.setdefault(region.type, []).append(region)
    return [_defect(name, regions, inspection) for name, regions in types.items()]


def _defect(name: str, regions: list[Region], inspection: Inspection) -> Payload:
    scores = [region.type_score for region in regions if region.type_score is not None]
    areas = [region.area_mm2 for region in regions if region.area_mm2 is not None]
    return {
        "type": name,
        "type_score": _rounded(max(scores), 4) if scores else None,
        "peak": _significant(max(region.peak for region in regions)),
        "area_px": _rounded(sum(region.area_px for region in regions), 1),
        "area_mm2": _rounded(sum(areas), 3) if areas else None,
        "regions": [_region(region, inspection) for region in regions],
    }


def _region(region: Region, inspection: Inspection) -> Payload:
    scale = inspection.mm_per_px
    payload: Payload = {
        "view": inspection.camera,
        "bbox": [int(value) for value in region.bbox_xywh],
        "polygon": [[int(x), int(y)] for x, y in region.polygon_xy],
        "centroid": [_rounded(value, 1) for value in region.centroid_xy],
        "area_px": _rounded(region.area_px, 1),
        "area_mm2": _rounded(region.area_mm2, 3),
        "peak": _significant(region.peak),
    }
    if scale is not None:
        payload["centroid_mm"] = [_rounded(value * scale, 3) for value in region.centroid_xy]
    return payload


def _rounded(value: float | None, digits: int) -> float | None:
    return round(float(value), digits) if value is not None and math.isfinite(value) else None


def _significant(value: float | None) -> float | None:
    """Keep seven digits, all that a float32 holds, so that no comparison changes its outcome."""
    return float(f"{value:.7g}") if value is not None and math.isfinite(value) else None


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        return _finite(value.item())
    raise TypeError(f"payload: expected plain data, got {type(value).__name__}")
