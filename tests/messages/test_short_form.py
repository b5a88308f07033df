"""A payload that a broker does not take whole is cut, and still obeys its schema."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator

from edge.messages.payload import (
    alert_payload,
    alerts_payload,
    encode,
    info_payload,
    now,
    schema,
    state_payload,
)
from edge.messages.short_form import short_forms
from tests.support.mqtt_results import IDENTITY, MODEL

LONG = "x" * 100_000
ALERTS = [
    alert_payload(IDENTITY, code="c", severity="error", state="raised", since=now(), detail=LONG,
                  count=1)
] * 50  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("info", info_payload(IDENTITY, MODEL, {f"s{n}": LONG for n in range(50)}, recipes=[LONG])),
        ("state", state_payload(IDENTITY, "operational", mode="ready", detail=LONG, model=MODEL)),
        ("alerts", alerts_payload(IDENTITY, ALERTS)),
        ("alert", ALERTS[0]),
    ],
)
def test_short_forms_get_shorter_and_obey_the_schema(kind, payload):
    sizes = [len(encode(payload))]
    for form in short_forms(payload):
        assert form["is_short"] is True
        assert list(Draft202012Validator(schema(kind)).iter_errors(form)) == []
        sizes.append(len(encode(form)))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 2500
