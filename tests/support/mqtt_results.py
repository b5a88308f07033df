"""Inspections, payloads and settings for tests of everything that publishes.

`python -m tests.support.mqtt_results` prints the example of docs/mqtt.md.
"""

from __future__ import annotations

import json
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from edge.config.mqtt import MqttSettings, SpoolSettings
from edge.frame import Part
from edge.messages.identity import Identity, ModelInfo
from edge.messages.result_payload import result_payload
from edge.outputs.outbox import Outbox
from edge.result import Inspection, Reason, Region, StageTimes, Verdict

IDENTITY = Identity("jx-0142", "st3-top", "boot-1")
MODEL = ModelInfo(
    name="inpformer",
    version="3.2.0",
    bundle_sha256="ab" * 32,
    recipe_id="housing-42-top",
    recipe_version="14",
    recipe_sha256="cd" * 32,
    backend="onnxruntime",
    precision="fp32",
    engine_version="1.22.0",
    engine_key="a1b2c3",
    parity="passed",
    product_id="housing-42",
)
SCRATCH = Region(
    bbox_xywh=(412, 230, 61, 18),
    polygon_xy=((412, 236), (473, 230), (473, 247)),
    area_px=768.0,
    area_mm2=1.92,
    centroid_xy=(412.5, 238.04),
    peak=0.83,
    type="scratch",
    type_score=0.74,
)


def make_inspection(part_id: str = "p-1", **changes) -> Inspection:
    values = {
        "verdict": Verdict.FAIL,
        "reason": Reason.SCORE_ABOVE_THRESHOLD,
        "detail": "",
        "camera": "top",
        "frame_id": 99321,
        "captured_at": datetime(2026, 11, 21, 10, 15, 2, 121_900, tzinfo=timezone.utc),
        "ended_at": datetime(2026, 11, 21, 10, 15, 2, 163_000, tzinfo=timezone.utc),
        "size_wh": (2448, 2048),
        "times": StageTimes(4.25, 6.5, 28.125, 2.1),
        "score": 0.83,
        "threshold": 0.61,
        "p_value": 0.0021,
        "regions": (SCRATCH,),
        "mm_per_px": 0.05,
        "part": Part(part_id, "file", "scratch"),
    }
    return Inspection(**{**values, **changes})


def make_payload(part_id: str = "p-1", identity: Identity = IDENTITY, **changes) -> dict:
    return result_payload(make_inspection(part_id, **changes), identity, MODEL)


def make_settings(port: int, **changes) -> MqttSettings:
    return MqttSettings(**{"port": port, "topic_prefix": "plant/v1", **changes})


def make_example() -> dict:
    """A result as it is published, numbered by a real outbox."""
    with tempfile.TemporaryDirectory() as folder:
        outbox = Outbox(Path(folder) / "example.db", SpoolSettings())
        (payload,) = outbox.append([make_payload("4006381333931-000871")])
        outbox.close()
    return payload


if __name__ == "__main__":
    print(json.dumps(make_example(), indent=2))
