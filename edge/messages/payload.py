"""Payloads as plain dicts, and the JSON Schemas they obey. No I/O but reading a schema.

Numbers that are not finite become null: JSON has no NaN. Results are in result_payload.py,
commands and their answers in command.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from edge.messages.identity import Identity, ModelInfo, now

Payload = dict[str, Any]
KINDS = (
    "result", "status", "info", "state", "counters", "health", "alert", "alerts", "cmd", "ack",
    "picture",
)  # fmt: skip


@cache
def schema(kind: str) -> Payload:
    """Return the JSON Schema (draft 2020-12) of a kind of payload."""
    text = (files("edge.messages") / "schemas" / f"{kind}.json").read_text(encoding="utf-8")
    loaded: Payload = json.loads(text)
    return loaded


def encode(payload: Payload) -> str:
    """Write a payload as compact JSON that every parser takes.

    Numbers that are not finite become null, NumPy scalars plain numbers, and characters that are
    not Unicode (file names may hold them) question marks: a message must not fail over a detail.
    """
    text = json.dumps(_finite(payload), ensure_ascii=False, separators=(",", ":"), default=_plain)
    return text.encode("utf-8", "replace").decode("utf-8")


def status_payload(identity: Identity, state: str, version: str, host: str = "") -> Payload:
    """Say that the station is `online`, `stopped` or (as the will) `lost`; `host` is the device.

    The broker sends the will long after it was written: its `ts` is the time of the connection.
    """
    status = {**head("status", identity), "state": state, "ts": now(), "version": version}
    return {**status, "host": host} if host else status


def info_payload(
    identity: Identity,
    model: ModelInfo | None,
    software: Mapping[str, str],
    *,
    recipes: Sequence[str] = (),
    commands: Sequence[str] = (),
    camera: Mapping[str, Any] | None = None,
    cameras: Sequence[Payload] | None = None,
    place: Mapping[str, Any] | None = None,
    geometry: Mapping[str, Any] | None = None,
) -> Payload:
    """Give the birth certificate.

    Args:
        identity: who speaks.
        model: what judges; None while no recipe is prepared.
        software: names and versions.
        recipes: names that `prepare_recipe` takes.
        commands: names that the station obeys.
        camera: what it is and how it is set; None when it does not say.
        cameras: camera, place and geometry of each, by name; None for a station with one camera.
        place: lens, rectification and scale of the camera's place; None without a place file.
        geometry: which part of a frame the recipe inspects; None for whole frames.
    """
    schemas = {kind: schema(kind)["$id"] for kind in KINDS}
    return {
        **head("info", identity),
        "ts": now(),
        "software": dict(software),
        "recipe": recipe_of(model) if model else None,
        "model": model_of(model) if model else None,
        "recipes": list(recipes),
        "commands": list(commands),
        "camera": dict(camera) if camera else None,
        "place": dict(place) if place else None,
        "geometry": dict(geometry) if geometry else None,
        "schemas": schemas,
        **_cameras(cameras),
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
    cameras: Sequence[Payload] | None = None,
    revision: str | None = None,
    audit: Mapping[str, Any] | None = None,
    outbox: Mapping[str, Any] | None = None,
    delivery: str | None = None,
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
        cameras: the same for each; None for a station with one camera.
        revision: of the configuration; commands may make it their condition.
        delivery: `proven` while our own messages come back from the broker, `unproven` while they
            do not, None before either is known.
        outbox: which one gives the numbers, and how they went on at the start.
        audit: count of the records of the audit log, and head, the hash of the newest.
    """
    return {
        **head("state", identity),
        "ts": now(),
        "state": state,
        "mode": mode,
        "detail": detail,
        "config_revision": revision,
        "product_id": model.product_id if model else None,
        "recipe": recipe_of(model) if model else None,
        "model": model_of(model) if model else None,
        "threshold": significant(threshold),
        "camera": dict(camera) if camera else None,
        "audit": dict(audit) if audit else None,
        "outbox": dict(outbox) if outbox else None,
        "delivery": delivery,
        **_cameras(cameras),
    }


def counters_payload(
    identity: Identity,
    totals: Mapping[str, int],
    *,
    last_seq: int,
    lost: int,
    pending: int,
    outbox_id: str = "",
    unaccounted: int = 0,
) -> Payload:
    """Give totals since the outbox was made; results up to last_seq - pending are delivered.

    `unaccounted` numbers have no verdict in `totals`: no more is known of them than that they were
    given out, or may have been.
    """
    return {
        **head("counters", identity),
        "ts": now(),
        "outbox_id": outbox_id,
        "last_seq": last_seq,
        "pending": pending,
        "lost": lost,
        "unaccounted": unaccounted,
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
    triggers: Mapping[str, int] | None = None,
    cameras: Sequence[Payload] | None = None,
) -> Payload:
    """Give the periodic numbers.

    Args:
        identity: who speaks.
        uptime_s: seconds since the process started.
        camera: connected, fps, last_frame_age_ms, reconnects.
        latency_ms: p50, p95, p99 of capture to verdict.
        drops: frames dropped by reason.
        triggers: `TriggerQueue.counts`; None where every frame is a part.
        cameras: the same as `camera` for each; None for a station with one.
        mqtt: `Publisher.stats`.
        host: memory_rss_bytes, disk_free_bytes, temperature_c and whatever else is known.
    """
    return {
        **head("health", identity),
        "ts": now(),
        "uptime_s": rounded(uptime_s, 1),
        "camera": dict(camera),
        "latency_ms": {name: rounded(value, 2) for name, value in latency_ms.items()},
        "drops": dict(drops),
        "triggers": None if triggers is None else dict(triggers),
        "mqtt": dict(mqtt),
        "host": dict(host),
        **_cameras(cameras),
    }


def alert_payload(
    identity: Identity,
    *,
    code: str,
    severity: str,
    state: str,
    since: str,
    detail: str,
    count: int,
    first_at: str | None = None,
    last_at: str | None = None,
) -> Payload:
    """Say that an alert was `raised` or `cleared`.

    `count` says how often it was raised from `first_at` to `last_at`; both are `since` unless
    given. `first_at` is earlier than `since` when it came back soon after its end.
    """
    alert = {"code": code, "severity": severity, "since": since, "detail": detail, "count": count}
    alert |= {"first_at": first_at or since, "last_at": last_at or since}
    return {**head("alert", identity), "ts": now(), "state": state, **alert}


def alerts_payload(identity: Identity, active: Sequence[Payload]) -> Payload:
    """List the alerts that are raised at present."""
    keys = (
        "code", "severity", "since", "detail", "count", "first_at", "last_at", "acknowledged",
    )  # fmt: skip
    alerts = [{key: alert[key] for key in keys if key in alert} for alert in active]
    return {**head("alerts", identity), "ts": now(), "alerts": alerts}


def head(kind: str, identity: Identity) -> Payload:
    """Begin a payload: schema and who speaks."""
    return {
        "schema": f"edge-infer.{kind}/1",
        "node": identity.node,
        "station": identity.station,
        "boot_id": identity.boot_id,
    }


def recipe_of(model: ModelInfo) -> Payload:
    """Identify the recipe."""
    return {"id": model.recipe_id, "version": model.recipe_version, "sha256": model.recipe_sha256}


def model_of(model: ModelInfo) -> Payload:
    """Identify the bundle and the engine."""
    engine = {
        "backend": model.backend,
        "precision": model.precision,
        "version": model.engine_version,
        "key": model.engine_key,
        "parity": model.parity,
    }
    return {
        "name": model.name,
        "version": model.version,
        "bundle_sha256": model.bundle_sha256,
        "signed_by": model.signed_by,
        "engine": engine,
    }


def rounded(value: float | None, digits: int) -> float | None:
    """Round; None for what is not finite."""
    return round(float(value), digits) if value is not None and math.isfinite(value) else None


def significant(value: float | None) -> float | None:
    """Keep seven digits, all that a float32 holds, so that no comparison changes its outcome."""
    return float(f"{value:.7g}") if value is not None and math.isfinite(value) else None


def _cameras(cameras: Sequence[Payload] | None) -> Payload:
    return {} if cameras is None else {"cameras": list(cameras)}


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
