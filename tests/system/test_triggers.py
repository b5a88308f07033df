"""Triggers from outside a running station: commands over a broker, and HTTP."""

from __future__ import annotations

import http.client
import json

import pytest
from jsonschema import Draft202012Validator

from edge.messages.payload import schema
from tests.support.brokers import free_port, wait_until
from tests.system.conftest import DEMO_BUNDLE


def text(trigger: str) -> str:
    source = "test://conveyor?size=96x96"
    return f"bundle: {DEMO_BUNDLE}\ncamera: {{source: '{source}'}}\ntrigger: {trigger}\n"


def is_ready(mes) -> bool:
    state = mes.newest("state")
    return state["mode"] == "continuous_execution" and state["camera"]["connected"]


def results_of(running, trigger_id: str) -> list[dict]:
    return [result for result in running.results if result["trigger"]["id"] == trigger_id]


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_a_command_announces_a_part_and_its_result_names_it(run_station, kind: str) -> None:
    port = free_port()
    running = run_station(text(f"{{by: software, http_port: {port}, deadline_ms: 60000}}"), kind)
    mes = running.start(results=0)
    wait_until(lambda: mes.listener.of("state") and is_ready(mes), 60, "the camera")
    done = mes.ask("trigger", {"part_id": "4006-871", "trigger_id": "t1"})
    assert (done["status"], done["code"]) == ("done", "ok")
    wait_until(lambda: results_of(running, "t1"), 30, "the result of t1")

    again = mes.ask("trigger", {"trigger_id": "t1"})
    assert (again["status"], again["code"]) == ("rejected", "invalid")
    both = mes.ask("trigger", {"part_id": "a", "barcode": "b"})
    assert (both["status"], both["code"]) == ("rejected", "invalid")

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/trigger", json.dumps({"trigger_id": "t2", "barcode": "]C1 04"}))
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())) == (202, {"trigger_id": "t2"})
    wait_until(lambda: results_of(running, "t2"), 30, "the result of t2")

    mes.ask("stop")
    connection.request("POST", "/trigger")
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["error"]) == (503, "not_judging")
    connection.close()
    assert mes.ask("trigger")["code"] == "wrong_state"

    (first,), (second,) = results_of(running, "t1"), results_of(running, "t2")
    assert first["part"].items() >= {"id": "4006-871", "id_source": "command"}.items()
    assert second["part"].items() >= {"id": "]C1 04", "id_source": "barcode"}.items()
    assert len(running.results) == 2
    for result in (first, second):
        assert list(Draft202012Validator(schema("result")).iter_errors(result)) == []
