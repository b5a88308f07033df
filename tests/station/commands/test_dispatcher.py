"""A command is checked, done once, answered, and written down."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from jsonschema import Draft202012Validator

from edge.config.commands import COMMANDS
from edge.config.station import CommandSettings
from edge.messages.command import MAX_BYTES, Answer, Command, command_payload
from edge.messages.message import Reply
from edge.messages.payload import schema, state_payload
from edge.messages.state_board import StateBoard
from edge.station.commands.audit_file import audit_path
from edge.station.commands.audit_log import AuditLog
from edge.station.commands.dispatcher import CommandDispatcher
from edge.station.commands.replay_memory import ReplayMemory, replay_memory_path
from tests.support.mqtt_results import IDENTITY


class Bench:
    """A dispatcher with handlers that record their commands, and every answer it has sent."""

    def __init__(self, folder, allow=("get_state", "stop", "prepare_recipe"), **limits):
        self.done: list[tuple[str, str]] = []
        self.answers: list[dict] = []
        self.replies: list[Reply | None] = []
        self.path = audit_path(folder, "n", "s")
        self.revision = "abc"
        self.states = StateBoard(IDENTITY)
        self.commands: list[Command] = []
        settings = CommandSettings(**limits)
        self.memory = ReplayMemory(
            replay_memory_path(folder, "n", "s"), is_expected=self.path.exists(), limits=settings
        )
        self.dispatcher = CommandDispatcher(
            IDENTITY,
            {name: self._handler(name) for name in allow},
            limits=settings,
            audit=AuditLog(self.path),
            memory=self.memory,
            states=self.states,
            state=lambda: state_payload(
                IDENTITY, "operational", mode="ready", revision=self.revision
            ),
            publish=self._publish,
        )

    def _handler(self, name):
        def handle(command):
            self.done.append((name, command.cmd_id))
            self.commands.append(command)
            return Answer("accepted" if name == "prepare_recipe" else "done")

        return handle

    def _publish(self, ack, reply):
        assert not list(Draft202012Validator(schema("ack")).iter_errors(ack))
        self.answers.append(ack)
        self.replies.append(reply)

    def ask(self, name, cmd_id="c-1", reply=None, **changes):
        args = {"recipe": "cover"} if name == "prepare_recipe" else {}
        payload = {**command_payload(cmd_id, "mes", args, lifetime_s=30), **changes}
        self.dispatcher.take(name, json.dumps(payload).encode(), reply)
        return self.answers[-1]

    def log(self):
        return [json.loads(line) for line in self.path.read_text().splitlines()]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def active(states: StateBoard) -> dict[str, str]:
    """Return code and severity of the alerts that are raised."""
    states.begin()
    posts = iter(states.take, None)
    alerts = next(post.payload["alerts"] for post in posts if post.kind == "alerts")
    return {alert["code"]: alert["severity"] for alert in alerts}


def ago(seconds: float) -> str:
    moment = datetime.now(timezone.utc) - timedelta(seconds=seconds)
    return moment.isoformat()


def test_a_command_is_done_and_answered_with_the_state(bench):
    reply = Reply("mes/inbox", b"7")
    ack = bench.ask("stop", reply=reply)
    assert bench.done == [("stop", "c-1")]
    assert (ack["cmd_id"], ack["command"], ack["status"], ack["code"]) == (
        "c-1", "stop", "done", "ok",
    )  # fmt: skip
    assert ack["state"]["mode"] == "ready"
    assert bench.replies == [reply]


def test_the_same_id_gets_the_same_answer_and_does_nothing(bench):
    first = bench.ask("stop")
    again = bench.ask("stop", reply=Reply("elsewhere"))
    assert again == first
    assert bench.ask("get_state") == first, "whatever else it asks for"
    assert bench.done == [("stop", "c-1")]
    assert len(bench.log()) == 1
    bench.ask("stop", "c-2")
    assert len(bench.done) == 2


def test_an_accepted_command_gets_its_outcome_once(bench):
    reply = Reply("mes/inbox", b"7")
    assert bench.ask("prepare_recipe", reply=reply)["status"] == "accepted"
    assert bench.ask("prepare_recipe")["status"] == "accepted"
    assert bench.done == [("prepare_recipe", "c-1")]
    bench.dispatcher.finish("c-1", Answer("failed", "recipe_failed", "no such bundle"))
    bench.dispatcher.finish("c-1", Answer("done"))
    bench.dispatcher.finish("never-heard-of", Answer("done"))
    assert [a["status"] for a in bench.answers] == ["accepted", "accepted", "failed"]
    assert bench.replies == [reply, None, reply]
    assert bench.ask("prepare_recipe") == bench.answers[2]
    assert [entry["status"] for entry in bench.log()] == ["accepted", "failed"]


def test_what_is_under_way_at_the_end_fails(bench):
    bench.ask("prepare_recipe")
    bench.dispatcher.close()
    assert (bench.answers[-1]["status"], bench.answers[-1]["code"]) == ("failed", "stopping")


@pytest.mark.parametrize(
    ("name", "changes", "status", "code", "message"),
    [
        ("halt", {}, "rejected", "not_allowed", "expected one of get_state, stop"),
        ("../x", {}, "rejected", "not_allowed", "got ../x"),
        ("stop", {"expires_at": ago(0.01)}, "expired", "expired", "by the station's clock"),
        ("stop", {"expires_at": ago(1e9)}, "expired", "expired", "send it again"),
        ("stop", {"expect": {"config_revision": "abd"}}, "rejected", "config_revision",
         "expected configuration abd, the station has abc"),
        ("stop", {"args": {"now": "yes"}}, "rejected", "invalid", "expected args [], got ['now']"),
        ("prepare_recipe", {"args": {}}, "rejected", "invalid", "expected args ['recipe'], got []"),
    ],
)  # fmt: skip
def test_what_must_not_be_done_is_said_and_not_done(bench, name, changes, status, code, message):
    ack = bench.ask(name, **changes)
    assert (ack["status"], ack["code"]) == (status, code)
    assert message in ack["message"]
    assert bench.done == []
    assert not bench.path.exists()
    assert bench.ask(name) == ack, "the first answer counts, even if it would be allowed now"


def test_a_condition_that_holds_is_no_obstacle(bench):
    assert bench.ask("stop", expect={"config_revision": "abc"})["status"] == "done"
    bench.revision = "abd"
    assert bench.ask("stop", "c-2", expect={"config_revision": "abd"})["status"] == "done"


def test_a_command_the_file_leaves_out_and_one_there_is_not_are_refused_apart(tmp_path):
    default = Bench(tmp_path, allow=sorted(set(COMMANDS) - {"set_threshold"}))
    forbidden = default.ask("set_threshold", args={"threshold": "0.5"})
    unknown = default.ask("rebuild_engine", "c-2")
    assert {(a["status"], a["code"]) for a in (forbidden, unknown)} == {("rejected", "not_allowed")}
    assert forbidden["message"].endswith(
        "got set_threshold; commands.allow in the station file decides"
    )
    assert unknown["message"].endswith("got rebuild_engine")
    assert default.done == []


@pytest.mark.parametrize(
    ("args", "status"), [({}, "done"), ({"part_id": "p"}, "done"), ({"part": "p"}, "rejected")]
)
def test_an_argument_may_be_optional(tmp_path, args, status):
    job = Bench(tmp_path, allow=COMMANDS)
    assert job.ask("start_single_job", args=args)["status"] == status
    assert len(job.done) == (status == "done")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"[" * 10_000,
        b'"' + b"x" * MAX_BYTES + b'"',
        json.dumps(command_payload("two words", "mes", {}, lifetime_s=9)).encode(),
        json.dumps(command_payload("c", "line\nbreak", {}, lifetime_s=9)).encode(),
        json.dumps(command_payload("c", "", {}, lifetime_s=9)).encode(),
        json.dumps({**command_payload("c", "m", {}, lifetime_s=9), "expires_at": 9e9}).encode(),
        json.dumps(
            {**command_payload("c", "m", {}, lifetime_s=9), "expires_at": "2126-01-01T00:00:00"}
        ).encode(),
        json.dumps(
            {**command_payload("c", "m", {}, lifetime_s=9), "schema": "edge-infer.cmd/2"}
        ).encode(),
        json.dumps({**command_payload("c", "m", {}, lifetime_s=9), "args": {"recipe": 1}}).encode(),
        json.dumps(
            {**command_payload("c", "m", {}, lifetime_s=9), "expect": {"weather": "fine"}}
        ).encode(),
    ],
)
def test_what_cannot_be_read_is_rejected_and_not_done(bench, data):
    bench.dispatcher.take("stop", data, None)
    (ack,) = bench.answers
    assert (ack["status"], ack["code"], ack["cmd_id"]) == ("rejected", "invalid", None)
    assert 0 < len(ack["message"]) <= 300
    assert bench.done == []


def test_fields_of_a_newer_sender_are_ignored(bench):
    assert bench.ask("stop", priority=3)["status"] == "done"


def test_an_answer_is_known_after_a_restart(bench, tmp_path):
    bench.ask("stop")
    bench.ask("prepare_recipe", "c-2")
    bench.ask("prepare_recipe", "c-3")
    bench.dispatcher.finish("c-3", Answer("done", "ok", "active"))
    later = Bench(tmp_path)
    assert later.ask("stop")["status"] == "done"
    interrupted = later.ask("prepare_recipe", "c-2")
    assert (interrupted["status"], interrupted["code"]) == ("failed", "interrupted")
    assert later.ask("prepare_recipe", "c-3")["message"] == "active"
    assert later.done == []
    assert later.ask("prepare_recipe", "c-4")["status"] == "accepted"


def test_the_log_says_who_did_what_and_leaves_out_what_changes_nothing(bench):
    bench.ask("get_state")
    bench.ask("stop", "c-2")
    bench.ask("halt", "c-3")
    (entry,) = bench.log()
    assert entry.items() >= {
        "command": "stop", "cmd_id": "c-2", "by": "mes", "args": {}, "status": "done",
    }.items()  # fmt: skip


def test_a_station_can_be_stopped_while_its_log_cannot_be_written(bench, caplog):
    bench.path.mkdir()
    assert bench.ask("stop")["status"] == "done"
    assert "cannot be written" in caplog.text
    assert active(bench.states) == {"audit_log_unwritten": "error"}
    bench.path.rmdir()
    bench.ask("stop", "c-2")
    assert active(bench.states) == {}


def test_memory_is_bounded(bench, monkeypatch):
    monkeypatch.setattr("edge.station.commands.dispatcher.REMEMBERED", 3)
    for number in range(5):
        bench.ask("get_state", f"c-{number}")
    bench.ask("get_state", "c-4")
    assert len(bench.done) == 5
    bench.ask("get_state", "c-0")
    assert len(bench.done) == 6


@pytest.mark.parametrize(
    ("issued", "expires", "status", "message"),
    [
        (1, -250, "done", ""),
        (0, None, "done", ""),
        (200, None, "done", ""),
        (-20, -200, "done", ""),
        (400, None, "expired", "it holds for 300 s"),
        (1, -400, "rejected", "expires_at within 300 s after issued_at, got 401 s"),
        (301, -100, "rejected", "within 300 s after issued_at, got 401 s"),
        (1e9, "9999-12-31T23:59:59-23:59", "rejected", "within 300 s"),
        ("0001-01-01T00:00:00+23:59", -9, "rejected", "within 300 s"),
        ("0001-01-01T00:00:00+23:59", None, "expired", "it holds for 300 s"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:01Z", "expired", "send it again"),
        ("9999-12-31T23:59:59-23:59", None, "rejected", "in the future"),
        ("9999-12-31T23:59:58Z", "9999-12-31T23:59:59-23:59", "rejected", "within 300 s"),
        (-100, None, "rejected", "in the future by the station's clock"),
        (-100, -120, "rejected", "in the future by the station's clock"),
        (-25, -15, "rejected", "got -10 s"),
    ],
)
def test_a_command_holds_from_now_and_not_for_long(bench, issued, expires, status, message):
    times = {"issued_at": issued, "expires_at": expires}
    changes = {key: ago(t) if isinstance(t, int | float) else t for key, t in times.items()}
    ack = bench.ask("stop", **changes)
    assert ack["status"] == status, ack["message"]
    assert message in ack["message"]
    assert bench.ask("stop", **changes) == ack
    assert len(bench.done) == (status == "done")


def test_limits_of_the_station_file_hold(tmp_path):
    bench = Bench(tmp_path, max_lifetime_s=20, clock_tolerance_s=0)
    assert bench.ask("stop")["message"].startswith("expected expires_at within 20 s")
    assert bench.ask("stop", "c-2", issued_at=ago(-60), expires_at=None)["status"] == "rejected"
    assert bench.ask("stop", "c-3", issued_at=ago(3), expires_at=None)["status"] == "done"
    (command,) = bench.commands
    assert (command.expires_at - command.issued_at).total_seconds() == 20


ABSURD = [
    "NaN", "-Infinity", "1e999", "-1", "1700000000", "9" * 400, "null", "true", "[]", "{}", '""',
    '"now"', '"nan"', '"1700000000"', '"2026-01-01"', '"2026-01-01T00:00:00"',
    '"2026-13-01T00:00:00Z"', '"2026-01-01T25:00:00Z"', '"10000-01-01T00:00:00Z"',
    '"0000-01-01T00:00:00Z"', '"-0001-01-01T00:00:00Z"', '"2026-01-01T00:00:00+99:99"',
    '"2026-01-01T00:00:00Z\\u0000"', '"\\ud800"', '"' + "9" * 5000 + '"',
]  # fmt: skip


@pytest.mark.parametrize("field", ["issued_at", "expires_at"])
@pytest.mark.parametrize("value", ABSURD)
def test_an_absurd_time_gets_one_refusal(bench, field, value):
    if (field, value) == ("expires_at", "null"):
        value = '"0"'
    payload = {**command_payload("c", "m", {}, lifetime_s=9), field: "HERE"}
    bench.dispatcher.take("stop", json.dumps(payload).replace('"HERE"', value).encode(), None)
    (ack,) = bench.answers
    assert (ack["status"], ack["code"]) == ("rejected", "invalid")
    assert 0 < len(ack["message"]) <= 300
    assert bench.done == []


def test_what_was_refused_is_not_done_after_a_restart(bench, tmp_path):
    """Whoever recorded it could send it again when it would be taken."""
    refused = bench.ask("halt")
    early = bench.ask("stop", "c-2", issued_at=ago(-90), expires_at=None)
    later = Bench(tmp_path, allow=["halt", "stop"], clock_tolerance_s=600)
    assert later.ask("halt")["message"] == refused["message"]
    again = later.ask("stop", "c-2", issued_at=ago(-90), expires_at=None)
    assert again["message"] == early["message"]
    assert later.done == []


def test_an_id_is_on_the_disk_before_its_command_is_done(bench, tmp_path):
    """As after a power cut in the middle of the command."""
    seen = []

    def cut(command):
        other = ReplayMemory(bench.memory.path, is_expected=True, limits=CommandSettings())
        seen.append(other.recall(command.cmd_id))
        return Answer("done")

    bench.dispatcher._handlers["stop"] = cut
    bench.ask("stop")
    assert seen[0].answer.code == "interrupted"


@pytest.mark.parametrize("loss", ["damaged", "removed"])
def test_without_the_record_only_new_commands_are_taken(bench, tmp_path, loss):
    bench.ask("stop")
    bench.memory.close()
    bench.memory.path.write_bytes(b"garbage" * 1000)
    if loss == "removed":
        bench.memory.path.unlink()
    later = Bench(tmp_path, clock_tolerance_s=0)
    old = later.ask("stop", "c-8", issued_at=ago(5), expires_at=ago(-5))
    assert (old["status"], old["code"]) == ("expired", "expired")
    assert "lost its record of commands" in old["message"]
    assert later.ask("get_state", "c-9", issued_at=ago(5), expires_at=ago(-5))["status"] == "done"
    assert later.done == [("get_state", "c-9")]
    assert later.ask("stop", "c-10")["status"] == "done"


def test_no_flood_of_ids_makes_room_for_an_old_one(bench, monkeypatch):
    monkeypatch.setattr("edge.station.commands.replay_memory.CAPACITY", 5)
    monkeypatch.setattr("edge.station.commands.dispatcher.REMEMBERED", 2)
    bench.ask("stop", "old")
    for number in range(3):
        bench.ask("stop", f"far-{number}", issued_at=f"9999-01-0{number + 1}T00:00:00Z",
                  expires_at=None)  # fmt: skip
    answers = [bench.ask("stop", f"c-{number}") for number in range(8)]
    assert [a["status"] for a in answers] == ["done"] * 4 + ["rejected"] * 4
    assert answers[-1]["code"] == "busy"
    assert bench.ask("get_state", "g")["status"] == "done"
    bench.ask("stop", "old")
    assert len([name for name, _ in bench.done if name == "stop"]) == 5
