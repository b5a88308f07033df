"""The board keeps the newest state of each kind and queues what happened to alerts."""

from __future__ import annotations

from edge.messages import state_board
from edge.messages.message import Reply
from edge.messages.state_board import StateBoard
from tests.support.mqtt_results import IDENTITY


def drain(board):
    taken = []
    while message := board.take():
        taken.append(message)
    return taken


def test_a_new_connection_repeats_every_state_in_a_fixed_order():
    board = StateBoard(IDENTITY)
    for kind in ("counters", "state", "status", "info"):
        board.put(kind, {"kind": kind})
    drain(board)
    board.begin()
    assert [kind for kind, *_ in drain(board)] == ["status", "info", "state", "counters", "alerts"]
    assert drain(board) == []


def test_of_several_changes_only_the_newest_is_published():
    board = StateBoard(IDENTITY)
    for n in range(5):
        board.put("state", {"n": n})
    assert drain(board) == [("state", {"n": 4}, None)]


def test_pictures_come_last_and_old_ones_are_dropped():
    board = StateBoard(IDENTITY)
    for n in range(state_board.MOST_PICTURES + 2):
        board.show({"n": n})
    board.put("state", {"n": 0})
    kinds = [kind for kind, *_ in drain(board)]
    assert kinds == ["state", *["picture"] * state_board.MOST_PICTURES]
    board.show({"n": 99})
    board.begin()
    assert "picture" not in [kind for kind, *_ in drain(board)], "nobody saw it when it was new"


def test_health_that_nobody_could_receive_is_dropped():
    board = StateBoard(IDENTITY)
    board.put("health", {"n": 1})
    board.begin()
    assert "health" not in [kind for kind, *_ in drain(board)]


def test_an_alert_is_one_event_however_often_it_is_raised():
    board = StateBoard(IDENTITY)
    for n in range(3):
        board.raise_alert("camera_lost", "error", f"attempt {n}")
    board.note_repeats()
    messages = drain(board)
    events = [payload for kind, payload, _ in messages if kind == "alert"]
    assert [(e["state"], e["count"]) for e in events] == [("raised", 1)]
    (active,) = messages[0][1]["alerts"]
    assert (active["count"], active["detail"]) == (3, "attempt 2")
    board.note_repeats()
    assert drain(board) == []


def test_clearing_ends_an_alert_once():
    board = StateBoard(IDENTITY)
    board.raise_alert("camera_lost", "warning", "")
    board.raise_alert("camera_lost", "error", "worse")  # another severity is news
    board.clear_alert("camera_lost")
    board.clear_alert("camera_lost")
    board.clear_alert("never_raised")
    messages = drain(board)
    assert [(p["state"], p["severity"]) for kind, p, _ in messages if kind == "alert"] == [
        ("raised", "warning"),
        ("raised", "error"),
        ("cleared", "error"),
    ]
    assert messages[0][1]["alerts"] == []


def test_an_answer_comes_after_the_states_it_tells_of():
    board = StateBoard(IDENTITY)
    reply = Reply("inbox", b"1")
    board.answer({"status": "accepted"}, reply)
    board.put("state", {"n": 1})
    assert drain(board) == [("state", {"n": 1}, None), ("ack", {"status": "accepted"}, reply)]


def test_an_acknowledged_alert_says_by_whom_until_it_gets_worse():
    board = StateBoard(IDENTITY)
    board.raise_alert("camera_lost", "warning", "")
    assert board.acknowledge_alert("camera_lost", "mes")
    assert not board.acknowledge_alert("disk_low", "mes")
    board.raise_alert("camera_lost", "warning", "still")
    (active,) = drain(board)[0].payload["alerts"]
    assert (active["acknowledged"]["by"], active["count"]) == ("mes", 2)
    board.raise_alert("camera_lost", "error", "worse")
    (active,) = drain(board)[0].payload["alerts"]
    assert "acknowledged" not in active


def test_every_change_is_told_to_whoever_publishes():
    board = StateBoard(IDENTITY)
    told = []
    board.on_change = lambda: told.append(1)
    board.put("state", {})
    board.raise_alert("x", "error", "")
    board.acknowledge_alert("x", "mes")
    board.clear_alert("x")
    board.answer({})
    assert len(told) == 5


def events(board):
    return [payload for kind, payload, _ in drain(board) if kind == "alert"]


def test_an_alert_raised_and_cleared_with_every_part_is_one_alert_with_a_count(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(state_board.time, "monotonic", lambda: clock[0])
    board = StateBoard(IDENTITY)
    for _ in range(200):
        board.raise_alert("disk_low", "error", "again")
        board.clear_alert("disk_low")
        board.note_repeats()
        clock[0] += 0.5
    told = events(board)
    assert [event["state"] for event in told] == ["raised", "cleared", "raised"]
    board.begin()
    (active,) = next(post.payload for post in drain(board) if post.kind == "alerts")["alerts"]
    assert active["count"] == 200
    assert active["first_at"] <= active["since"] <= active["last_at"]
    clock[0] += state_board.QUIET_S
    board.note_repeats()
    (ended,) = events(board)
    assert (ended["state"], ended["count"]) == ("cleared", 200)
    clock[0] += state_board.QUIET_S
    board.raise_alert("disk_low", "error", "another day")
    (raised,) = events(board)
    assert (raised["state"], raised["count"]) == ("raised", 1)


def test_severities_that_alternate_are_no_stream_of_events():
    board = StateBoard(IDENTITY)
    for n in range(50):
        board.raise_alert("x", ("warning", "error")[n % 2], "")
    assert [event["severity"] for event in events(board)] == ["warning", "error"]


def test_a_state_can_be_published_again():
    board = StateBoard(IDENTITY)
    board.put("info", {"n": 1})
    drain(board)
    board.renew("info")
    assert drain(board) == [("info", {"n": 1}, None)]
