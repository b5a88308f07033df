"""The board keeps the newest state of each kind and queues what happened to alerts."""

from __future__ import annotations

from edge.mqtt.board import Board
from tests.support.mqtt_results import IDENTITY


def drain(board):
    taken = []
    while message := board.take():
        taken.append(message)
    return taken


def test_a_new_connection_repeats_every_state_in_a_fixed_order():
    board = Board(IDENTITY)
    for kind in ("counters", "state", "status", "info"):
        board.put(kind, {"kind": kind})
    drain(board)
    board.begin()
    assert [kind for kind, _ in drain(board)] == ["status", "info", "state", "counters", "alerts"]
    assert drain(board) == []


def test_of_several_changes_only_the_newest_is_published():
    board = Board(IDENTITY)
    for n in range(5):
        board.put("state", {"n": n})
    assert drain(board) == [("state", {"n": 4})]


def test_health_that_nobody_could_receive_is_dropped():
    board = Board(IDENTITY)
    board.put("health", {"n": 1})
    board.begin()
    assert "health" not in [kind for kind, _ in drain(board)]


def test_an_alert_is_one_event_however_often_it_is_raised():
    board = Board(IDENTITY)
    for n in range(3):
        board.raise_alert("camera_lost", "error", f"attempt {n}")
    board.note_repeats()
    messages = drain(board)
    events = [payload for kind, payload in messages if kind == "alert"]
    assert [(e["state"], e["count"]) for e in events] == [("raised", 1)]
    (active,) = messages[0][1]["alerts"]
    assert (active["count"], active["detail"]) == (3, "attempt 2")
    board.note_repeats()
    assert drain(board) == []


def test_clearing_ends_an_alert_once():
    board = Board(IDENTITY)
    board.raise_alert("camera_lost", "warning", "")
    board.raise_alert("camera_lost", "error", "worse")  # another severity is news
    board.clear_alert("camera_lost")
    board.clear_alert("camera_lost")
    board.clear_alert("never_raised")
    messages = drain(board)
    assert [(p["state"], p["severity"]) for kind, p in messages if kind == "alert"] == [
        ("raised", "warning"),
        ("raised", "error"),
        ("cleared", "error"),
    ]
    assert messages[0][1]["alerts"] == []
