"""Replays of signed results are told; repetitions that the station marks are not."""

from __future__ import annotations

import time

import pytest

from edge.messages.identity import uuid7
from edge.messages.result_verifier import REMEMBERED, ResultVerifier
from edge.messages.signature import parse_signing_key, signed

KEY = parse_signing_key("a secret that is long enough", "key")


def made_at(age_s: float) -> str:
    """Make an id as `age_s` seconds ago."""
    milliseconds = int((time.time() - age_s) * 1000)
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}" + uuid7()[13:]


def result(seq, *, boot="b-1", node="n", station="s", is_replayed=False, **more):
    payload = {"node": node, "station": station, "boot_id": boot, "seq": seq, "msg_id": uuid7(),
               "is_replayed": is_replayed, "result": "pass", **more}  # fmt: skip
    return signed(payload, KEY)


@pytest.fixture
def verifier():
    return ResultVerifier({KEY.id: KEY})


def test_what_a_station_sends_is_believed(verifier):
    first = result(5)
    sent = [first, result(6), result(9), {**signed({**first, "is_replayed": True}, KEY)}]
    sent += [result(7, is_replayed=True, msg_id=made_at(1e6)), result(10)]
    time.sleep(0.002)  # of the next run's ids
    sent += [result(8, boot="b-1", is_replayed=True), result(11, boot="b-2")]
    sent += [result(1, boot="b-2", outbox_id="another"), result(2, boot="b-2", outbox_id="another")]
    assert [verifier.problem(each, "n", "s") for each in sent] == [None] * len(sent)
    assert verifier.problems == 0


def test_replays_are_told(verifier):
    first, second = result(1), result(2)
    for each in (first, second):
        assert verifier.problem(each, "n", "s") is None
    assert verifier.problem(first, "n", "s") == "replayed: it came before"
    assert verifier.problem(second, "n", "other").startswith("replayed: it was signed as")
    assert verifier.problem(second, "m", "s").startswith("replayed: it was signed as")
    old = result(3, msg_id=made_at(400))
    assert verifier.problem(old, "n", "s").startswith("replayed: it was made more than 300 s ago")
    unseen = result(1, msg_id=made_at(5))
    assert verifier.problem(unseen, "n", "s") == "replayed: seq 1 comes after seq 2"
    assert verifier.problems == 5


def test_a_result_of_an_earlier_run_is_told(verifier):
    before = result(40, boot="b-0", msg_id=made_at(20))
    unseen = result(7, boot="b-1", msg_id=made_at(10))
    assert verifier.problem(result(1, boot="b-1", msg_id=made_at(11)), "n", "s") is None
    assert verifier.problem(result(2, boot="b-2", msg_id=made_at(9)), "n", "s") is None
    assert "earlier run" in verifier.problem(before, "n", "s")
    assert "earlier run" in verifier.problem(unseen, "n", "s")
    assert verifier.problem(result(3, boot="b-2"), "n", "s") is None


@pytest.mark.parametrize(
    "change",
    [{"seq": None}, {"seq": True}, {"seq": "1"}, {"boot_id": None}, {"msg_id": "x"},
     {"msg_id": "0" * 32}, {"outbox_id": []}],
)  # fmt: skip
def test_a_result_without_order_is_told(verifier, change):
    made = signed({**result(1), **change}, KEY)
    assert verifier.problem(made, "n", "s") == "forged: it has no number, run and id"


def test_what_is_not_signed_is_not_remembered(verifier):
    good = result(1)
    for _ in range(3):
        assert verifier.problem({**good, "signature": None}, "n", "s") == "unsigned"
    assert verifier.unreadable("no object") == "unsigned: no object"
    assert verifier.problem(good, "n", "s") is None
    assert verifier.problems == 4


def test_memory_is_bounded(verifier, monkeypatch):
    monkeypatch.setattr("edge.messages.result_verifier.REMEMBERED", 10)
    for seq in range(1, 50):
        assert verifier.problem(result(seq), "n", "s") is None
    assert len(verifier._stations["n", "s"].seen) == 10
    assert REMEMBERED == 10_000
