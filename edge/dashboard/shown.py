"""What pages show of payloads: every field that they name, of its type, whatever came. Pure."""

from __future__ import annotations

from typing import Any

from edge.messages.payload import Payload

# Beyond these, texts are cut and the rest of a list is left out.
LONGEST_TEXT = 1000
MOST_ITEMS = 100

_RECIPE = {"id": str, "version": str, "defect_types": [str]}
_MODEL = {"name": str, "version": str, "engine": {"backend": str, "precision": str}}
_DEFECT = {
    "type": str,
    "vetoed": bool,
    "regions": [{"view": str, "bbox": [float], "finding": str}],
}
_CAMERA = {"name": str, "connected": bool, "fps": float, "threshold": float}
RESULT: dict[str, Any] = {
    "node": str, "station": str, "outbox_id": str, "seq": int, "product_id": str,
    "result": str, "reason": str, "detail": str, "score": float, "threshold": float,
    "is_replayed": bool, "is_simulated": bool,
    "part": {"id": str},
    "times": {"capture": str, "end": str, "total_ms": float},
    "recipe": _RECIPE, "model": _MODEL, "defects": [_DEFECT],
    "view": str,
    "views": [
        {
            "name": str, "camera": str, "frame_id": int, "capture": str, "width": int,
            "height": int, "result": str, "reason": str, "score": float, "threshold": float,
            "defects": [_DEFECT],
        }
    ],
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "status": {"state": str},
    "info": {"recipes": [str], "recipe": _RECIPE},
    "state": {
        "state": str, "mode": str, "detail": str, "threshold": float, "recipe": _RECIPE,
        "model": _MODEL, "camera": _CAMERA, "cameras": [_CAMERA],
    },
    "counters": {"pending": int, "lost": int},
    "health": {
        "camera": _CAMERA,
        "drops": {str: int},
        "latency_ms": {"p50": float, "p95": float, "p99": float},
    },
}  # fmt: skip
ALERT: dict[str, Any] = {
    "code": str, "severity": str, "since": str, "detail": str, "count": int,
    "acknowledged": {"by": str},
}  # fmt: skip


def shown(payload: Any, shape: dict[str, Any]) -> Payload:
    """Return the fields of a shape; what is missing or of another type is empty.

    Args:
        payload: of any shape.
        shape: of each field its type, a shape of its own, or a list of one of them; `{str: TYPE}`
            takes all names.

    Returns:
        A payload where texts are "" instead, numbers None, switches False and lists empty.
    """
    found: Payload = _shown(payload, shape)
    return found


def _shown(value: Any, shape: Any) -> Any:
    if isinstance(shape, dict):
        fields = value if isinstance(value, dict) else {}
        if str in shape:
            items = [(name, _shown(each, shape[str])) for name, each in fields.items()]
            return {name: each for name, each in items[:MOST_ITEMS] if each is not None}
        return {name: _shown(fields.get(name), each) for name, each in shape.items()}
    if isinstance(shape, list):
        items = value[:MOST_ITEMS] if isinstance(value, list) else []
        return [_shown(each, shape[0]) for each in items]
    if shape is str:
        return value[:LONGEST_TEXT] if isinstance(value, str) else ""
    if shape is bool:
        return value is True
    is_number = type(value) is int or (shape is float and type(value) is float)
    return value if is_number else None
