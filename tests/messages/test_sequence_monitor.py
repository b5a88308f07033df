"""A subscriber sees every gap and repetition, and nothing that arrives can hurt it."""

from __future__ import annotations

import json

import pytest

from edge.messages.identity import Identity
from edge.messages.payload import counters_payload, status_payload
from edge.messages.sequence_monitor import REMEMBERED, SeqTracker, StationView
from tests.support.mqtt_results import IDENTITY, make_payload


def follow(*seqs, boot="b1"):
    tracker = SeqTracker()
    for seq in seqs:
        tracker.see(seq, f"id-{seq}", boot)
    return tracker


def test_a_complete_run_has_no_gap():
    tracker = follow(*range(7, 50))
    assert (tracker.received, tracker.missing, tracker.duplicates, tracker.late) == (43, 0, 0, 0)


def test_gaps_are_counted_and_close_when_late_results_come():
    tracker = follow(1, 2, 6, 10)
    assert tracker.missing == 6
    for seq in (4, 9, 3, 5):
        tracker.see(seq, f"id-{seq}", "b1")
    assert tracker.missing == 2
    assert tracker.late == 4


def test_repetitions_are_known_by_their_id():
    tracker = follow(1, 2, 3)
    assert tracker.see(2, "id-2", "b1") is False
    assert (tracker.duplicates, tracker.received, tracker.late) == (1, 3, 0)


def test_a_new_boot_continues_the_numbers():
    tracker = follow(1, 2, 3)
    tracker.see(4, "id-4", "b2")
    assert (tracker.received, tracker.missing, tracker.late) == (4, 0, 0)


def test_a_new_outbox_starts_again_without_a_false_gap():
    tracker = follow(500, 501)
    tracker.see(1, "id-new", "b2")
    tracker.see(2, "id-new-2", "b2")
    tracker.see(4, "id-new-4", "b2")
    assert (tracker.missing, tracker.late) == (1, 0)


def test_another_outbox_counts_anew_and_what_the_former_missed_stays_missing():
    tracker = SeqTracker()
    for seq in (500, 503):
        tracker.see(seq, f"a-{seq}", "b1", "a")
    for seq in (1, 2, 4):
        tracker.see(seq, f"b-{seq}", "b2", "b")
    assert (tracker.missing, tracker.late, tracker.outboxes) == (2 + 1, 0, 2)
    tracker.see(501, "a-501", "b1", "a")
    tracker.delivered(600, "a")
    assert (tracker.missing, tracker.late, tracker.received) == (3, 1, 6)


def test_an_outbox_that_goes_on_leaves_a_gap_over_a_crash_and_is_never_read_as_a_new_one():
    tracker = SeqTracker()
    for seq in (1, 2, 3):
        tracker.see(seq, f"a-{seq}", "b1", "a")
    tracker.see(36, "a-36", "b2", "a")
    assert tracker.missing == 32
    tracker.see(2, "again", "b3", "a")
    assert (tracker.missing, tracker.late) == (32, 1)


def test_the_counters_show_a_missing_tail():
    tracker = follow(1, 2, 3)
    tracker.delivered(3)
    assert tracker.missing == 0
    tracker.delivered(5)
    assert tracker.missing == 2
    tracker.see(4, "id-4", "b1")
    tracker.see(6, "id-6", "b1")
    assert tracker.missing == 1


def test_a_subscriber_that_saw_only_counters_misses_what_follows():
    tracker = SeqTracker()
    tracker.delivered(100)
    tracker.see(103, "id-103", "b1")
    assert tracker.missing == 2


def test_memory_for_ids_is_bounded():
    tracker = follow(*range(1, REMEMBERED + 500))
    assert len(tracker._seen) == REMEMBERED


def result(seq=1, boot="boot-1", **changes):
    payload = make_payload(identity=Identity("n", "s", boot), **changes)
    return json.dumps({**payload, "seq": seq, "msg_id": f"{boot}-{seq}"}).encode()


def view_of(*messages):
    view = StationView("n", "s")
    for kind, data, is_stored in messages:
        view.take(kind, data, is_stored=is_stored)
    return view


def status(state, boot="boot-1"):
    return json.dumps(status_payload(Identity("n", "s", boot), state, "0.1")).encode()


def test_results_are_returned_even_when_repeated_but_counted_once():
    view = StationView("n", "s")
    assert view.take("result", result(), is_stored=False)["seq"] == 1
    assert view.take("result", result(), is_stored=False)["seq"] == 1
    assert (view.seqs.received, view.seqs.duplicates) == (1, 1)


def test_latency_percentiles_come_from_total_ms():
    view = StationView("n", "s")
    for seq in range(1, 101):
        payload = json.loads(result(seq))
        payload["times"]["total_ms"] = seq
        view.take("result", json.dumps(payload).encode(), is_stored=False)
    assert (view.latency_ms(0.5), view.latency_ms(0.95)) == (51, 96)
    assert view.rate() == 10.0


def test_live_counters_reveal_a_missing_tail_and_stored_ones_do_not():
    totals = {"pass": 0, "fail": 9, "undecided": 0, "error": 0}
    data = json.dumps(counters_payload(IDENTITY, totals, last_seq=9, lost=1, pending=4)).encode()
    seen = ("result", result(3), False)
    assert view_of(seen, ("counters", data, True)).seqs.missing == 0
    view = view_of(seen, ("counters", data, False))
    assert view.seqs.missing == 2
    assert (view.counts, view.lost) == (totals, 1)


@pytest.mark.parametrize(
    ("messages", "has_stopped"),
    [
        ([("status", status("stopped", "old"), True)], False),
        ([("status", status("stopped"), False)], True),
        ([("status", status("online"), True), ("status", status("stopped"), False)], True),
        ([("status", status("online"), False), ("status", status("stopped"), True)], True),
        ([("result", result(), False), ("status", status("stopped"), True)], True),
        ([("result", result(), False), ("status", status("stopped", "old"), True)], False),
        ([("status", status("stopped"), False), ("status", status("online", "b2"), False)], False),
        ([("status", status("online"), True), ("status", status("lost"), False)], False),
    ],
)
def test_only_a_stop_of_a_run_that_was_seen_counts(messages, has_stopped):
    assert view_of(*messages).has_stopped is has_stopped


GARBAGE = [
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b'"text"',
    b"17",
    b"{}",
    b"{" * 100_000,
    b"[" * 100_000,
    b'{"seq": "x", "msg_id": 1, "boot_id": 2, "result": "pass", "times": {"total_ms": 1}}',
    b'{"seq": 1, "msg_id": 1, "boot_id": 2, "result": "ok", "times": {"total_ms": 1}}',
    b'{"seq": 1, "msg_id": 1, "boot_id": 2, "result": [], "times": {"total_ms": 1}}',
    b'{"seq": 1, "msg_id": 1, "boot_id": 2, "result": "pass", "times": []}',
    b'{"seq": 1e999, "msg_id": 1, "boot_id": 2, "result": "pass", "times": {"total_ms": 1}}',
    b'{"state": [], "boot_id": {}}',
    b'{"counts": 1, "lost": 2}',
    b'{"counts": {"pass": "a"}}',
    b'{"alerts": 3}',
    b'{"alerts": ["a"]}',
]


@pytest.mark.parametrize("kind", ["result", "status", "state", "counters", "alerts"])
@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_counted_and_changes_nothing_else(kind, data):
    view = view_of(("result", result(1), False), (kind, data, False), ("result", result(2), False))
    assert view.invalid <= 1
    assert view.seqs.received == 2
    assert view.seqs.missing == 0
    if kind == "result":
        assert view.invalid == 1
