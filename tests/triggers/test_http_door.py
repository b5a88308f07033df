"""The HTTP door, with a real client."""

from __future__ import annotations

import http.client
import json
import socket

import pytest

from edge.config.trigger import TriggerSettings
from edge.errors import ConfigError
from edge.trigger import Trigger
from edge.triggers.http_door import HttpDoor
from edge.triggers.software import SoftwareTriggers
from edge.triggers.source import NotTaken, TriggerMaker


class Door:
    def __init__(self) -> None:
        self.taken: list[Trigger] = []
        self.refusal: NotTaken | None = None
        maker = TriggerMaker(TriggerSettings(by="software", http_port=1), lambda: "made-id")
        self.triggers = SoftwareTriggers(maker, self.fire)
        self.door = HttpDoor(0, self.triggers)
        self.door.start(self.fire)

    def fire(self, trigger: Trigger) -> NotTaken | None:
        if self.refusal is None:
            self.taken.append(trigger)
        return self.refusal

    def ask(self, body=None, method="POST", path="/trigger", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.door.port, timeout=20)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response.status, json.loads(text) if response.status != 501 else None


@pytest.fixture
def door():
    made = Door()
    yield made
    assert made.door.stop(20)


def test_a_trigger_needs_no_body(door: Door) -> None:
    assert door.ask() == (202, {"trigger_id": "made-id"})
    (trigger,) = door.taken
    assert (trigger.source, trigger.part_id) == ("software", None)


def test_a_body_names_trigger_and_part(door: Door) -> None:
    assert door.ask('{"trigger_id": "t1", "part_id": "4006-871"}') == (202, {"trigger_id": "t1"})
    assert door.ask('{"barcode": "]C1 0401 5"}')[0] == 202
    first, second = door.taken
    assert (first.id, first.part_id, first.part_id_source) == ("t1", "4006-871", "command")
    assert (second.part_id, second.part_id_source) == ("]C1 0401 5", "barcode")


@pytest.mark.parametrize(
    ("code", "status"),
    [("not_ready", 409), ("used", 409), ("not_judging", 503), ("stopping", 503)],
)
def test_a_refusal_says_why(door: Door, code, status: int) -> None:
    door.refusal = NotTaken(code, "because")
    assert door.ask() == (status, {"error": code, "detail": "because"})


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ("{", "JSON object"),
        ("[]", "JSON object"),
        ("[" * 4000, "JSON object"),
        ('{"part": "x"}', "expected trigger_id, part_id, barcode, got 'part'"),
        ('{"part_id": 7}', "part_id: expected one line"),
        ('{"part_id": ""}', "part_id: expected one line"),
        ('{"part_id": "a\\nb"}', "part_id: expected one line"),
        (json.dumps({"barcode": "x" * 201}), "barcode: expected one line"),
        ('{"part_id": "a", "barcode": "b"}', "one of part_id and barcode"),
        (b"\xff\xfe", "JSON object"),
    ],
)
def test_a_wrong_body_is_refused_and_triggers_nothing(door: Door, body, part: str) -> None:
    status, answer = door.ask(body)
    assert status == 400
    assert part in answer["detail"]
    assert door.taken == []


def test_what_is_no_trigger_is_refused(door: Door) -> None:
    assert door.ask(path="/")[0] == 404
    assert door.ask("x" * 5000)[0] == 413
    assert door.ask(method="GET")[0] == 501
    assert door.ask(**{"Content-Length": "-1"})[0] == 400
    assert door.ask(**{"Content-Length": "9" * 5000})[0] in (400, 413)
    assert door.ask(Origin="http://example.org")[0] == 403
    assert door.taken == []


def test_one_connection_may_trigger_many_times(door: Door) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", door.door.port, timeout=20)
    for number in range(20):
        connection.request("POST", "/trigger", json.dumps({"trigger_id": str(number)}))
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["trigger_id"]) == (202, str(number))
    connection.close()
    assert len(door.taken) == 20


def test_only_this_device_is_heard_and_a_taken_port_is_told(door: Door) -> None:
    assert door.door._server.server_address[0] == "127.0.0.1"
    with pytest.raises(ConfigError, match=f"expected a free port, {door.door.port} is not"):
        HttpDoor(door.door.port, door.triggers)


def test_a_silent_client_keeps_nobody_waiting(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.door.port)):
        assert door.ask()[0] == 202
