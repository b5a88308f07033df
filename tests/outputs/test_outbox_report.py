"""Counters follow the outbox, and lost results raise an alert until the outbox is empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.config.mqtt import SpoolSettings
from edge.messages.payload import Payload
from edge.messages.state_board import StateBoard
from edge.outputs.outbox import Outbox
from edge.outputs.outbox_report import OutboxReport
from edge.result import Verdict
from tests.support.mqtt_results import IDENTITY, make_payload


class Made:
    def __init__(self, folder: Path):
        self.outbox = Outbox(folder / "x.db", SpoolSettings(max_rows=3))
        self.states = StateBoard(IDENTITY)
        self.report = OutboxReport(IDENTITY, self.outbox, self.states)

    def posts(self) -> dict[str, Payload]:
        """What there is to publish, newest of each kind."""
        return {post.kind: post.payload for post in iter(self.states.take, None)}

    def store(self, count: int) -> None:
        self.outbox.append([make_payload(verdict=Verdict.PASS)] * count)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    made = Made(tmp_path)
    yield made
    made.outbox.close()


def test_counters_tell_what_is_decided_waiting_and_lost(made: Made) -> None:
    made.store(2)
    made.report.put_counters()
    counters = made.posts()["counters"]
    assert (counters["last_seq"], counters["pending"], counters["lost"]) == (2, 2, 0)
    assert counters["counts"] == {"pass": 2, "fail": 0, "undecided": 0, "error": 0}


def test_counters_are_renewed_only_when_they_have_changed(made: Made) -> None:
    made.report.put_counters()
    made.posts()
    made.report.update()
    assert made.posts() == {}
    made.store(1)
    made.report.update()
    assert made.posts()["counters"]["pending"] == 1
    made.outbox.remove([1])
    made.report.update()
    assert made.posts()["counters"]["pending"] == 0


def test_lost_results_raise_an_alert_until_the_outbox_is_empty(made: Made) -> None:
    made.store(3)
    made.store(2)
    made.report.update()
    alert = made.posts()["alert"]
    assert (alert["code"], alert["state"], alert["detail"]) == (
        "spool_dropped", "raised", "2 results lost, 2 in all",
    )  # fmt: skip
    made.outbox.remove([3, 4])
    made.report.update()
    assert "alert" not in made.posts()
    made.outbox.remove([5])
    made.report.update()
    assert made.posts()["alert"]["state"] == "cleared"


def test_what_an_earlier_run_lost_raises_no_alert(made: Made) -> None:
    made.store(3)
    made.store(2)
    report = OutboxReport(IDENTITY, made.outbox, made.states)
    report.update()
    assert "alert" not in made.posts()


def test_a_full_disk_is_an_alert_while_it_lasts(made: Made) -> None:
    numbered = [made.outbox.number(make_payload())]
    made.outbox.hold(numbered, "the disk is full; free space")
    for _ in range(3):
        made.report.update()
    alert = made.posts()["alert"]
    assert (alert["code"], alert["severity"], alert["count"]) == ("outbox_failing", "critical", 1)
    assert "the disk is full" in alert["detail"]
    made.outbox.append(numbered)
    made.report.update()
    assert made.posts()["alert"]["state"] == "cleared"


def test_numbers_that_cannot_be_reserved_are_an_alert_while_it_lasts(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> None:
        raise OSError(30, "Read-only file system")

    for _ in range(400):
        made.outbox.number(make_payload())
    with monkeypatch.context() as patch:
        patch.setattr(made.outbox._numbers._file, "write", fails)
        for _ in range(200):
            made.outbox.number(make_payload())
        made.store(1)
        made.report.update()
    alerts = made.posts()["alerts"]["alerts"]
    (failing,) = [alert for alert in alerts if alert["code"] == "outbox_failing"]
    assert "cannot be reserved: Read-only file system" in failing["detail"]
    made.store(1)
    made.report.update()
    codes = [alert["code"] for alert in made.posts()["alerts"]["alerts"]]
    assert "outbox_failing" not in codes


def test_a_lost_outbox_and_bad_rows_are_alerts(tmp_path: Path) -> None:
    first = Made(tmp_path)
    first.store(3)
    first.outbox.close()
    (tmp_path / "x.db").unlink()
    made = Made(tmp_path)
    made.report.update()
    posts = made.posts()
    assert posts["alert"]["code"] == "outbox_break"
    assert posts["counters"]["outbox_id"] == first.outbox.outbox_id
    assert posts["counters"]["unaccounted"] == 3
    made.store(2)
    made.outbox._tables._db.execute("UPDATE results SET payload = '{' WHERE seq = 4")
    made.outbox.pending(0, 10)
    made.report.update()
    codes = [alert["code"] for alert in made.posts()["alerts"]["alerts"]]
    assert codes == ["outbox_break", "spool_dropped", "outbox_row"]
    made.outbox.close()
