"""Results of frames from an archive stay marked on their way to the broker."""

from __future__ import annotations

import json

import pytest

from edge.messages.result_payload import result_payload
from edge.mqtt.result_message import result_message
from edge.outputs.outbox import Row
from tests.support.mqtt_results import IDENTITY, MODEL, make_inspection


@pytest.mark.parametrize(
    ("from_archive", "sent_again", "marked"),
    [(False, False, False), (False, True, True), (True, False, True), (True, True, True)],
)
def test_a_replay_is_marked_also_when_it_is_sent_at_once(
    from_archive: bool, sent_again: bool, marked: bool
) -> None:
    payload = result_payload(make_inspection(is_replayed=from_archive), IDENTITY, MODEL)
    payload |= {"seq": 1, "msg_id": "m-1"}
    data, user = result_message(Row(1, json.dumps(payload), 0.0), is_replayed=sent_again)
    assert json.loads(data)["is_replayed"] is marked
    assert user["replayed"] == str(marked).lower()
