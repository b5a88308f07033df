"""Payloads say what the inspection says and obey their schemas, which refuse what is wrong."""

from __future__ import annotations

import copy
import json
import re
import uuid
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from edge.messages.command import Answer, Code, Status, ack_payload, command_payload
from edge.messages.identity import now, rfc3339, uuid7
from edge.messages.payload import (
    KINDS,
    alert_payload,
    alerts_payload,
    counters_payload,
    encode,
    health_payload,
    info_payload,
    schema,
    state_payload,
    status_payload,
)
from edge.messages.picture import picture_payload
from edge.messages.result_payload import result_payload
from edge.mqtt.topics import COMMAND, DELIVERY, Topics
from edge.result import Reason, Verdict
from tests.support.mqtt_results import (
    IDENTITY,
    MODEL,
    SCRATCH,
    make_example,
    make_inspection,
    make_payload,
)

ALERT = alert_payload(
    IDENTITY, code="camera_lost", severity="error", state="raised", since=now(), detail="", count=1
)
PICTURE = picture_payload(
    IDENTITY, "thumbnail", b"jpeg", camera="top", frame_id=7,
    captured_at=datetime.now(timezone.utc), verdict="fail",
)  # fmt: skip
STATS = {
    "connected": True,
    "protocol": "5",
    "reconnects": 0,
    "published": 3,
    "replayed": 1,
    "unacked": 0,
    "refused": 0,
    "lost": 0,
    "spool_rows": 0,
    "spool_bytes": 0,
    "spool_oldest_age_s": 0.0,
}


def numbered(payload: dict) -> dict:
    """What the outbox makes of a payload."""
    return {**payload, "msg_id": uuid7(), "seq": 1}


FAULTY = {
    "verdict": Verdict.ERROR,
    "reason": Reason.CAMERA_ERROR,
    "detail": "image unreadable",
    "size_wh": (0, 0),
    "score": None,
    "threshold": None,
    "p_value": None,
    "regions": (),
    "mm_per_px": None,
    "part": None,
}
EVERY = [
    *[
        ("result", numbered(make_payload(verdict=verdict, reason=reason)))
        for verdict in Verdict
        for reason in Reason
    ],
    ("result", numbered(make_payload(**FAULTY))),
    ("result", numbered(make_payload(regions=(replace(SCRATCH, type_score=None, area_mm2=None),)))),
    *[
        ("status", status_payload(IDENTITY, state, "0.1"))
        for state in ("online", "stopped", "lost")
    ],
    ("info", info_payload(IDENTITY, MODEL, {"edge-inspection": "0.1"})),
    ("info", info_payload(IDENTITY, None, {}, recipes=("a", "b"), commands=("stop",))),
    ("state", state_payload(IDENTITY, "preoperational")),
    (
        "state",
        state_payload(
            IDENTITY,
            "operational",
            mode="continuous_execution",
            model=MODEL,
            threshold=0.61,
            camera={"name": "top", "connected": True},
        ),
    ),
    (
        "counters",
        counters_payload(
            IDENTITY,
            {"pass": 5, "fail": 1, "undecided": 0, "error": 0},
            last_seq=6,
            lost=0,
            pending=2,
        ),
    ),
    (
        "health",
        health_payload(
            IDENTITY,
            uptime_s=12.34,
            camera={"connected": True, "fps": 9.9},
            latency_ms={"p50": 40.0, "p95": None, "p99": float("nan")},
            drops={"overrun": 2},
            mqtt=STATS,
            host={},
        ),
    ),
    ("alert", ALERT),
    ("cmd", command_payload("c-1", "mes", {"recipe": "cover"}, lifetime_s=30)),
    ("cmd", command_payload("c-1", "mes", {}, lifetime_s=30, expect={"config_revision": "a1"})),
    *[
        (
            "ack",
            ack_payload(
                IDENTITY,
                "prepare_recipe",
                cmd_id,
                Answer(status, code, "why"),
                state_payload(IDENTITY, "operational", mode="initialized", model=MODEL),
            ),
        )
        for status in get_args(Status)
        for code in get_args(Code)
        for cmd_id in ("c-1", None)
    ],
    ("alerts", alerts_payload(IDENTITY, [{**ALERT, "acknowledged": {"by": "x", "ts": now()}}])),
    ("alerts", alerts_payload(IDENTITY, [ALERT])),
    ("alerts", alerts_payload(IDENTITY, [])),
    ("picture", PICTURE),
    ("picture", {**PICTURE, "purpose": "raw", "cmd_id": "c-1", "part_id": "p-1", "heat": "//4="}),
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_valid_and_describes_every_field(kind):
    Draft202012Validator.check_schema(schema(kind))
    assert schema(kind)["$id"] == f"urn:edge-infer:{kind}:1"
    undescribed = [name for name, field in schema(kind)["properties"].items()
                   if not field.get("description")]  # fmt: skip
    assert undescribed == []


@pytest.mark.parametrize(("kind", "payload"), EVERY)
def test_every_payload_obeys_its_schema_and_survives_json(kind, payload):
    errors = [
        f"{error.json_path}: {error.message}"
        for error in Draft202012Validator(schema(kind)).iter_errors(json.loads(encode(payload)))
    ]
    assert errors == []
    assert payload["schema"] == f"edge-infer.{kind}/1"


def test_every_kind_of_payload_is_covered():
    assert {kind for kind, _ in EVERY} == set(KINDS)


def change(path: str, value: object):
    return lambda payload: _set(payload, path.split("."), value)


def _set(payload, path, value):
    for name in path[:-1]:
        payload = payload[int(name)] if name.isdigit() else payload[name]
    if value is KeyError:
        del payload[path[-1]]
    else:
        payload[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", "edge-infer.result/2"),
        ("msg_id", "9ce81336-126f-4745-9467-9a7d00fc73eb"),  # version 4
        ("msg_id", KeyError),
        ("seq", 0),
        ("seq", "7"),
        ("boot_id", ""),
        ("node", "a/b"),
        ("result", "ok"),
        ("result", "pass"),  # evaluation says fail
        ("reason", "bad_luck"),
        ("score", "0.8"),
        ("score", KeyError),
        ("p_value", 1.5),
        ("is_replayed", 0),
        ("times.capture", "2026-11-21T10:15:02.121+01:00"),
        ("times.capture", "2026-11-21T10:15:02Z"),
        ("times.total_ms", -1),
        ("times.total_ms", KeyError),
        ("part", "p-1"),
        ("model.engine.parity", "maybe"),
        ("views", []),
        ("views.0.mm_per_px", 0),
        ("defects.0.type_score", 2),
        ("defects.0.regions", []),
        ("defects.0.regions.0.bbox", [1, 2, 3]),
        ("defects.0.regions.0.bbox", [-1, 2, 3, 4]),
        ("defects.0.regions.0.polygon", [[1, 2, 3]]),
    ],
)
def test_the_result_schema_refuses(path, value):
    validator = Draft202012Validator(schema("result"))
    payload = copy.deepcopy(numbered(make_payload()))
    assert validator.is_valid(payload)
    change(path, value)(payload)
    assert not validator.is_valid(payload)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("status", "state", "offline"),
        ("status", "boot_id", KeyError),
        ("info", "software", {"edge": 1}),
        ("info", "model", KeyError),
        ("state", "state", "running"),
        ("state", "mode", "fast"),
        ("counters", "counts.fail", KeyError),
        ("counters", "last_seq", -1),
        ("health", "mqtt.spool_rows", KeyError),
        ("health", "drops", {"overrun": -1}),
        ("alert", "severity", "bad"),
        ("alert", "count", 0),
        ("alerts", "alerts.0.since", "today"),
        ("cmd", "expires_at", "2026-11-21 10:15"),
        ("cmd", "issued_at", KeyError),
        ("cmd", "cmd_id", "two words"),
        ("cmd", "args", {"force": "yes"}),
        ("cmd", "expect", {"weather": "fine"}),
        ("ack", "status", "perhaps"),
        ("ack", "code", "bad_luck"),
        ("ack", "state", {}),
    ],
)
def test_the_other_schemas_refuse(kind, path, value):
    validator = Draft202012Validator(schema(kind))
    payload = copy.deepcopy(next(p for k, p in EVERY if k == kind))
    assert validator.is_valid(payload)
    change(path, value)(payload)
    assert not validator.is_valid(payload)


def test_unknown_fields_are_accepted_everywhere():
    for kind, payload in EVERY:
        assert Draft202012Validator(schema(kind)).is_valid({**payload, "from_the_future": 1})


def test_the_schema_knows_exactly_our_reasons_and_verdicts():
    properties = schema("result")["properties"]
    assert set(properties["reason"]["enum"]) == {reason.value for reason in Reason}
    assert set(properties["result"]["enum"]) == {verdict.value for verdict in Verdict}


def test_a_result_repeats_the_inspection_in_source_pixels():
    payload = make_payload()
    assert payload["result"] == "fail"
    assert payload["evaluation"] == 2
    assert payload["times"] == {
        "capture": "2026-11-21T10:15:02.121Z",
        "end": "2026-11-21T10:15:02.163Z",
        "waiting_ms": 4.25,
        "preprocess_ms": 6.5,
        "infer_ms": 28.12,
        "postprocess_ms": 2.1,
        "processing_ms": 36.73,
        "total_ms": 40.98,
    }
    assert payload["part"] == {"id": "p-1", "id_source": "file", "label": "scratch"}
    assert payload["model"]["engine"]["key"] == "a1b2c3"
    assert payload["views"][0]["width"] == 2448
    region = payload["defects"][0]["regions"][0]
    assert region["bbox"] == [412, 230, 61, 18]
    assert region["polygon"] == [[412, 236], [473, 230], [473, 247]]
    assert region["centroid"] == [412.5, 238.0]
    assert region["centroid_mm"] == [20.625, 11.902]
    assert "detail" not in payload


def test_defects_are_grouped_by_type_with_the_most_conspicuous_first():
    regions = (
        replace(SCRATCH, peak=0.7),
        replace(SCRATCH, type="unknown", type_score=None, peak=0.9, area_px=10.0, area_mm2=None),
        replace(SCRATCH, peak=0.8, type_score=0.5, area_px=32.0, area_mm2=0.08),
    )
    defects = make_payload(regions=regions)["defects"]
    assert [(d["type"], d["type_score"], d["peak"], d["area_px"], d["area_mm2"], len(d["regions"]))
            for d in defects] == [
        ("unknown", None, 0.9, 10.0, None, 1),
        ("scratch", 0.74, 0.8, 800.0, 2.0, 2),
    ]  # fmt: skip


def test_numbers_that_json_lacks_become_null():
    payload = make_payload(score=float("nan"), p_value=float("inf"))
    assert payload["score"] is None
    assert payload["p_value"] is None
    health = {"fps": float("nan"), "list": [1.0, float("-inf")], "inner": {"x": float("inf")}}
    assert json.loads(encode(health)) == {"fps": None, "list": [1.0, None], "inner": {"x": None}}


def test_what_callers_may_hand_over_by_mistake_is_written_all_the_same():
    odd = {
        "fps": np.float32(2.5),
        "rows": np.int64(3),
        "bad": np.float32("nan"),
        "file": "\udcff.png",
    }
    assert encode(odd) == '{"fps":2.5,"rows":3,"bad":null,"file":"?.png"}'
    with pytest.raises(TypeError, match="expected plain data, got object"):
        encode({"camera": object()})


@pytest.mark.parametrize("score", [0.1, 1 / 3, 123456.789, 1e-9, 0.6100001])
def test_rounding_keeps_what_a_float32_holds(score):
    assert make_payload(score=score)["score"] == pytest.approx(score, rel=5e-7)


def test_a_moment_is_written_in_utc_whatever_its_zone():
    east = datetime(2026, 1, 1, 0, 30, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert rfc3339(east) == "2025-12-31T22:30:00.999Z"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", now())


def test_a_uuid7_has_version_variant_time_and_no_repetition():
    made = [uuid.UUID(uuid7()) for _ in range(1000)]
    assert {u.version for u in made} == {7}
    assert {u.variant for u in made} == {uuid.RFC_4122}
    assert len(set(made)) == 1000
    seconds = (made[0].int >> 80) / 1000
    assert abs(seconds - datetime.now(timezone.utc).timestamp()) < 5


def test_a_payload_knows_nothing_of_its_order():
    payload = result_payload(make_inspection(), IDENTITY, MODEL)
    assert "seq" not in payload
    assert "msg_id" not in payload


def test_topics_are_built_and_read_back():
    topics = Topics("acme/lyon/v1", "jx-1", "st3")
    assert topics.of("alerts") == "acme/lyon/v1/jx-1/st3/alert/active"
    assert topics.of("status") == "acme/lyon/v1/jx-1/status"
    for kind in DELIVERY:
        station = None if kind in {"status", "info", "health"} else "st3"
        assert topics.parse(topics.of(kind)) == ("jx-1", station, kind)
    for other in ("acme/lyon/v2/jx-1/st3/result", "acme/lyon/v1/jx-1/result",
                  "acme/lyon/v1/jx-1/st3/status", "x", ""):  # fmt: skip
        assert topics.parse(other) is None


def test_a_command_is_read_from_its_own_topic_only():
    topics = Topics("acme/lyon/v1", "jx-1", "st3")
    assert topics.command("stop") == "acme/lyon/v1/jx-1/st3/cmd/stop"
    assert topics.command() == "acme/lyon/v1/jx-1/st3/cmd/+"
    assert topics.parse_command(topics.command("stop")) == "stop"
    for other in ("acme/lyon/v1/jx-1/st4/cmd/stop", "acme/lyon/v1/jx-1/st3/cmd/a/b",
                  "acme/lyon/v1/jx-1/st3/result", "stop"):  # fmt: skip
        assert topics.parse_command(other) is None
    assert (COMMAND.qos, COMMAND.retain, COMMAND.expiry_s) == (1, False, 30)


def test_only_what_stays_true_is_retained():
    retained = {kind for kind, delivery in DELIVERY.items() if delivery.retain}
    assert retained == {"status", "info", "state", "counters", "alerts", "last"}
    assert {kind for kind, d in DELIVERY.items() if d.qos == 0} == {"last", "health", "picture"}


DOCUMENT = (Path(__file__).parents[2] / "docs" / "mqtt.md").read_text(encoding="utf-8")


def test_the_documented_example_is_what_the_code_makes():
    example = json.loads(DOCUMENT.split("```json\n")[1].split("```")[0])
    made = make_example()
    new = {"msg_id": "", "outbox_id": ""}
    assert {**example, **new} == {**made, **new}
    assert list(example) == list(made)


@pytest.mark.parametrize("kind", DELIVERY)
def test_the_documented_table_is_the_one_in_the_code(kind):
    delivery = DELIVERY[kind]
    (row,) = [line for line in DOCUMENT.splitlines() if line.startswith(f"| `{delivery.topic}` |")]
    _, schema_name, qos, retained, expiry, _ = (cell.strip() for cell in row.strip("|").split("|"))
    assert schema_name == f"`edge-infer.{'result' if kind == 'last' else kind}/1`"
    assert (int(qos), retained == "yes") == (delivery.qos, delivery.retain)
    seconds = {"–": None, "1 day": 86400, "7 days (`result_expiry_s`)": 7 * 86400, "1 hour": 3600,
               "90 s": 90, "60 s": 60}  # fmt: skip
    assert seconds[expiry] == delivery.expiry_s
