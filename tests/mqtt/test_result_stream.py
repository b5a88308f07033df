"""Results leave the outbox in order, a window at a time, and only once acknowledged."""

from __future__ import annotations

import json

import pytest

from edge.config.mqtt import SpoolSettings
from edge.errors import PublishError
from edge.messages.message import Ack, OversizeError
from edge.mqtt import result_stream as stream_module
from edge.mqtt.result_stream import ResultStream
from edge.mqtt.topics import DELIVERY
from edge.outputs.outbox import Outbox
from tests.support.mqtt_results import make_payload


class FakeLink:
    """Remembers what is sent; the test decides what is acknowledged."""

    window = 20

    def __init__(self):
        self.sent: list[tuple[str, dict, dict]] = []
        self.unacked: dict[int, int] = {}
        self.limit = 10**9

    @property
    def has_room(self):
        return len(self.unacked) < self.window

    def publish(self, topic, payload, delivery, user):
        if len(payload) > self.limit:
            raise OversizeError(f"{len(payload)} bytes")
        message = json.loads(payload)
        self.sent.append((topic, message, user))
        mid = len(self.sent)
        if delivery.qos:
            self.unacked[mid] = message["seq"]
        return mid

    def seqs(self, topic="result"):
        return [message["seq"] for name, message, _ in self.sent if name == topic]

    def answer(self, stream, count=1, reason=0, text=""):
        for mid in list(self.unacked)[:count]:
            del self.unacked[mid]
            stream.take(Ack(mid, reason, text))

    def lose(self):
        self.unacked.clear()


@pytest.fixture
def outbox(tmp_path):
    made = Outbox(tmp_path / "x.db", SpoolSettings())
    yield made
    made.close()


@pytest.fixture
def link():
    return FakeLink()


@pytest.fixture
def stream(link, outbox):
    made = ResultStream(link, outbox, "result", DELIVERY["result"], ("last", DELIVERY["last"]))
    made.begin()
    return made


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(stream_module.time, "monotonic", lambda: now[0])
    return now


def fill(outbox, count):
    outbox.append([make_payload(f"p-{i}") for i in range(count)])


def test_no_more_than_the_window_is_on_its_way(stream, link, outbox):
    fill(outbox, 150)
    stream.fill()
    assert link.seqs() == list(range(1, 21))
    assert stream.unacked == 20
    link.answer(stream, 5)
    stream.fill()
    assert link.seqs() == list(range(1, 26))
    while link.unacked:
        link.answer(stream, 20)
        stream.fill()
    assert link.seqs() == list(range(1, 151))


def test_a_result_stays_until_it_is_acknowledged(stream, link, outbox):
    fill(outbox, 3)
    stream.fill()
    stream.forget(1)
    assert outbox.depth == 3
    link.answer(stream, 2)
    stream.forget(1)
    assert [row.seq for row in outbox.pending(0, 9)] == [3]
    assert stream.published == 2


def test_removals_are_collected(stream, link, outbox):
    fill(outbox, 60)
    stream.fill()
    link.answer(stream, 20)
    stream.forget()
    assert outbox.depth == 60
    for _ in range(2):
        stream.fill()
        link.answer(stream, 20)
    stream.forget()
    assert outbox.depth == 0


def test_only_what_is_sent_again_or_waited_is_marked_replayed(stream, link, outbox):
    fill(outbox, 2)
    stream.fill()
    assert [m["is_replayed"] for topic, m, _ in link.sent if topic == "result"] == [False, False]
    link.answer(stream, 1)
    stream.forget(1)
    link.lose()
    fill(outbox, 1)
    stream.begin()
    fill(outbox, 1)
    link.sent.clear()
    stream.fill()
    results = [(m["seq"], m["is_replayed"], user["replayed"])
               for topic, m, user in link.sent if topic == "result"]  # fmt: skip
    assert results == [(2, True, "true"), (3, True, "true"), (4, False, "false")]
    link.answer(stream, 3)
    assert (stream.published, stream.replayed) == (4, 2)


def test_a_repetition_has_the_same_content_and_id(stream, link, outbox):
    fill(outbox, 1)
    stream.fill()
    link.lose()
    stream.begin()
    stream.fill()
    first, second = (m for topic, m, _ in link.sent if topic == "result")
    assert {**first, "is_replayed": True} == second


def test_user_properties_repeat_what_routers_need(stream, link, outbox):
    fill(outbox, 1)
    stream.fill()
    _, message, user = link.sent[0]
    assert user == {
        "schema": "edge-infer.result/1",
        "msg_id": message["msg_id"],
        "seq": "1",
        "result": "fail",
        "replayed": "false",
    }


def test_the_newest_result_alone_goes_to_late_joiners(stream, link, outbox):
    fill(outbox, 15)
    stream.fill()
    assert link.seqs("last") == [15]


def test_an_oversize_result_is_lost_with_a_count_and_the_rest_goes_on(stream, link, outbox, caplog):
    link.limit = 5000
    outbox.append([make_payload("small"), make_payload("x" * 5000), make_payload("small")])
    stream.fill()
    assert link.seqs() == [1, 3]
    assert outbox.lost == 1
    assert "result lost seq=2: " in caplog.text


@pytest.mark.parametrize("reason", [0x90, 0x95, 0x99])
def test_a_refusal_for_good_is_a_loss(stream, link, outbox, reason):
    fill(outbox, 2)
    stream.fill()
    link.answer(stream, 1, reason, "no")
    link.answer(stream, 1)
    stream.forget(1)
    assert (outbox.depth, outbox.lost, stream.published) == (0, 1, 1)


def test_a_refusal_that_may_pass_is_retried_later_and_later(stream, link, outbox, clock, caplog):
    fill(outbox, 3)
    stream.fill()
    link.answer(stream, 1)
    link.answer(stream, 2, 0x87, "Not authorized")
    stream.fill()
    assert link.seqs() == [1, 2, 3]
    clock[0] += 1.1
    stream.fill()
    assert link.seqs() == [1, 2, 3, 2, 3]
    assert link.sent[-1][1]["is_replayed"] is True
    link.answer(stream, 2, 0x87, "Not authorized")
    clock[0] += 1.1  # the second pause is longer
    stream.fill()
    assert len(link.seqs()) == 5
    clock[0] += 1.0
    stream.fill()
    link.answer(stream, 2)
    stream.forget(1)
    assert (outbox.depth, outbox.lost, stream.refused) == (0, 0, 4)
    assert caplog.text.count("Not authorized") == 2


def test_what_is_acknowledged_but_not_yet_removed_is_not_sent_again(
    stream, link, outbox, monkeypatch
):
    fill(outbox, 4)
    stream.fill()
    link.answer(stream, 2)

    def is_full(seqs, **_):
        raise PublishError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "remove", is_full)
        stream.forget(1)
    link.lose()
    stream.begin()
    stream.fill()
    assert link.seqs() == [1, 2, 3, 4, 3, 4]
    link.answer(stream, 2)
    stream.forget(1)
    assert outbox.depth == 0


def test_a_big_result_that_ends_every_connection_is_found_and_given_up(stream, link, outbox):
    outbox.append([make_payload("small"), make_payload("x" * 70_000), make_payload("small")])
    stream.fill()
    assert link.seqs() == [1, 2, 3]
    for _ in range(10):
        link.lose()  # the broker cuts the connection at the big one
        stream.begin()
        stream.fill()
        if link.unacked and next(iter(link.unacked.values())) != 2:
            link.answer(stream, len(link.unacked))
            stream.fill()
        stream.forget(1)
    assert [row.seq for row in outbox.pending(0, 9)] == []
    assert outbox.lost == 1


def test_small_results_survive_any_number_of_cuts(stream, link, outbox):
    fill(outbox, 2)
    for _ in range(20):
        stream.fill()
        link.lose()
        stream.begin()
    assert outbox.depth == 2
    assert outbox.lost == 0


def test_a_small_result_that_ends_every_connection_is_kept_back_and_the_rest_goes_on(
    stream, link, outbox, clock
):
    fill(outbox, 4)
    stream.fill()
    for _ in range(8):
        link.lose()  # the broker cuts the connection at the second one
        stream.begin()
        stream.fill()
        while link.unacked and next(iter(link.unacked.values())) != 2:
            link.answer(stream, 1)
            stream.fill()
        stream.forget(1)
    assert [row.seq for row in outbox.pending(0, 9)] == [2]
    assert outbox.lost == 0
    clock[0] += stream_module.ASIDE_S
    link.sent.clear()
    stream.check()
    stream.fill()
    assert link.seqs() == [2]


@pytest.mark.parametrize(
    "text", ['{"schema": 7}', "[]", "null", "{", '{"schema":"a","msg_id":"","result":"pass"}']
)
def test_a_row_that_is_no_result_is_given_up_and_the_rest_goes_on(
    stream, link, outbox, text, monkeypatch
):
    fill(outbox, 3)
    whole = outbox.pending
    monkeypatch.setattr(
        outbox, "pending",
        lambda *a: [row._replace(payload=text) if row.seq == 2 else row for row in whole(*a)],
    )  # fmt: skip
    stream.fill()
    assert link.seqs() == [1, 3]
    assert outbox.lost == 1
