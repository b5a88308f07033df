"""What the commands do, and that handlers and table of commands agree."""

from __future__ import annotations

import inspect
from datetime import datetime, timezone

from edge.config.commands import COMMANDS
from edge.config.trigger import TriggerSettings
from edge.drop_counts import DropCounts
from edge.messages.command import Answer, Command, command_payload
from edge.messages.state_board import StateBoard
from edge.outputs.archived_pictures import Wanted
from edge.station.capture.mailbox import Mailbox
from edge.station.commands.handlers import CommandHandlers
from edge.station.commands.jobs import JobControl
from edge.station.recipes.changeover import Changeover
from edge.triggers.source import NotTaken, TriggerMaker
from tests.support.brokers import wait_until
from tests.support.mqtt_results import IDENTITY


def test_every_command_of_the_table_has_a_handler_and_no_handler_is_left_over() -> None:
    methods = inspect.getmembers(CommandHandlers, inspect.isfunction)
    assert {name for name, _ in methods if not name.startswith("_")} == set(COMMANDS)


class Station:
    """Handlers over a real changeover, and what they report."""

    def __init__(self, changeover: Changeover):
        self.finished: dict[str, Answer] = {}
        self.stops = 0
        self.board = StateBoard(IDENTITY)
        self.drops = DropCounts()
        self.jobs = JobControl(
            Mailbox("every", 8, self.drops),
            self.drops,
            on_change=lambda: None,
            finish=self.finished.__setitem__,
        )
        self.trigger_outcome = None
        self.pictures: list[tuple[Wanted, str]] = []
        self.handlers = CommandHandlers(
            changeover,
            self.jobs,
            self.board,
            request_picture=self._request_picture,
            request_trigger=lambda _: self.trigger_outcome,
            retry_camera=lambda: False,
            request_stop=self._stop,
            finish=self.finished.__setitem__,
        )

    def _stop(self) -> None:
        self.stops += 1

    def _request_picture(self, wanted: Wanted, cmd_id: str) -> Answer:
        self.pictures.append((wanted, cmd_id))
        return Answer("accepted")

    def ask(self, name: str, **args: str) -> Answer:
        payload = command_payload(name, "mes", args, lifetime_s=9)
        return self.handlers.handlers[name](Command.model_validate(payload, strict=False))

    def wait(self, name: str) -> Answer:
        wait_until(lambda: name in self.finished, 20)
        return self.finished.pop(name)


def test_commands_move_the_station_through_its_states(changeover: Changeover, inspector) -> None:
    station = Station(changeover)
    assert station.ask("get_state").status == "done"
    refused = station.ask("unprepare_recipe", recipe="housing")
    assert (refused.status, refused.code) == ("rejected", "wrong_state")
    assert station.ask("stop").status == "done"
    assert station.jobs.mode == "ready"
    assert station.ask("unprepare_recipe", recipe="cover").code == "unknown_recipe"
    assert station.ask("unprepare_recipe", recipe="housing").status == "accepted"
    assert station.wait("unprepare_recipe").status == "done"
    assert changeover.current is None
    assert station.ask("start_continuous").code == "wrong_state"
    assert station.ask("prepare_recipe", recipe="cup").code == "unknown_recipe"
    assert station.ask("prepare_recipe", recipe="cover").status == "accepted"
    assert station.wait("prepare_recipe").status == "done"
    assert station.jobs.mode == "ready", "a prepared recipe does not start by itself"
    assert station.ask("start_continuous").status == "done"
    assert station.jobs.mode == "continuous_execution"


def test_a_failed_preparation_is_reported_in_one_line(changeover: Changeover, inspector) -> None:
    station = Station(changeover)
    station.ask("prepare_recipe", recipe="gone")
    failed = station.wait("prepare_recipe")
    assert (failed.status, failed.code) == ("failed", "recipe_failed")
    assert failed.message.count("\n") == 0
    assert "nowhere" in failed.message


def test_busy_and_stopping_are_answered_differently(changeover: Changeover) -> None:
    station = Station(changeover)
    station.ask("prepare_recipe", recipe="cover")
    assert station.ask("prepare_recipe", recipe="lid").code == "busy"
    changeover.stop(5)
    assert station.wait("prepare_recipe").code == "stopping"
    assert station.ask("prepare_recipe", recipe="lid").code == "stopping"


def test_alerts_are_acknowledged_and_the_process_is_ended(changeover: Changeover) -> None:
    station = Station(changeover)
    assert station.ask("acknowledge_alert", code="camera_lost").code == "unknown_alert"
    station.board.raise_alert("camera_lost", "critical", "")
    assert station.ask("acknowledge_alert", code="camera_lost").status == "done"
    assert station.ask("halt").status == "done"
    assert station.stops == 1


def test_a_picture_is_asked_for_by_what_its_result_says(changeover: Changeover) -> None:
    station = Station(changeover)
    args = {
        "camera": "top", "frame_id": "7", "capture": "2026-11-21T10:15:02.114Z", "result": "fail",
    }  # fmt: skip
    assert station.ask("get_picture", **args).status == "accepted"
    moment = datetime(2026, 11, 21, 10, 15, 2, 114_000, tzinfo=timezone.utc)
    assert station.pictures == [(Wanted("view", "top", 7, moment, "fail"), "get_picture")]
    wrong = {
        "camera": "../../etc", "frame_id": "-1", "capture": "yesterday", "result": "bad",
        "form": "both",
    }  # fmt: skip
    for name, value in wrong.items():
        answer = station.ask("get_picture", **{**args, name: value})
        assert (answer.status, answer.code) == ("rejected", "invalid"), name
        assert value in answer.message
    assert len(station.pictures) == 1


def test_a_trigger_is_answered_at_once_with_its_id_or_why_not(changeover: Changeover) -> None:
    station = Station(changeover)
    assert station.ask("trigger").code == "wrong_state"
    maker = TriggerMaker(TriggerSettings(by="software", http_port=1), lambda: "made")
    station.trigger_outcome = maker.make("software", trigger_id="t1")
    done = station.ask("trigger", part_id="4006-871")
    assert (done.status, done.message) == (
        "done",
        "trigger t1 is taken; its result carries this id",
    )
    for code, answer in (
        ("not_ready", "not_ready"),
        ("not_judging", "wrong_state"),
        ("used", "invalid"),
        ("stopping", "stopping"),
    ):
        station.trigger_outcome = NotTaken(code, "because")
        refused = station.ask("trigger")
        assert (refused.status, refused.code, refused.message) == ("rejected", answer, "because")
