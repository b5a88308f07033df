"""Ids of commands stay known over restarts, and a record that was lost is told."""

from __future__ import annotations

import sqlite3
import stat
import time

import pytest

from edge.config.station import CommandSettings
from edge.messages.command import Answer
from edge.station.commands import replay_memory as memory_module
from edge.station.commands.replay_memory import INTERRUPTED, ReplayMemory

SOON = time.time() + 1000
DONE = Answer("done", "ok", "fine")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "n.s.commands.db"


@pytest.fixture
def reopened(path):
    """Open the record, again and again, and keep what it complains of."""
    made = []

    def _open(*, is_expected=True):
        problems: list[str] = []
        for memory in made:
            memory.close()
        memory = ReplayMemory(
            path, is_expected=is_expected, limits=CommandSettings(), on_problem=problems.append
        )
        made.append(memory)
        return memory, problems

    yield _open
    for memory in made:
        memory.close()


@pytest.fixture
def filled(reopened):
    memory, problems = reopened(is_expected=False)
    assert problems == []
    assert memory.begin("a", "stop", SOON)
    assert memory.begin("b", "stop", SOON)
    memory.settle("a", DONE)
    memory.settle("unknown", DONE)
    return memory


def test_ids_and_answers_survive_a_restart(filled, reopened, path):
    memory, problems = reopened()
    assert memory.recall("a") == ("stop", SOON, DONE)
    assert memory.recall("b").answer == INTERRUPTED
    assert memory.recall("unknown") is None
    assert (problems, memory.unproven_until_s) == ([], 0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def shorten(path):
    path.write_bytes(path.read_bytes()[:5000])


def spoil(path):
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)


def change(query):
    def harm(path):
        with sqlite3.connect(path) as db:
            db.execute(query)
        db.close()

    return harm


HARMS = {
    "garbage": lambda path: path.write_bytes(b"garbage" * 1000),
    "shortened": shorten,
    "spoilt": spoil,
    "other layout": change("PRAGMA user_version = 9"),
    "no table": change("ALTER TABLE commands RENAME TO other"),
    "wrong kind": change("UPDATE commands SET until_s = 'never'"),
    "wrong bytes": change("UPDATE commands SET message = x'ff'"),
    "gone": lambda path: path.unlink(),
    "folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_lost_record_is_told_in_one_line_and_begun_anew(filled, reopened, path, harm):
    filled.close()
    HARMS[harm](path)
    memory, problems = reopened()
    assert len(problems) == 1
    assert "\n" not in problems[0]
    assert "commands issued before this start are not taken" in problems[0]
    assert memory.unproven_until_s >= time.time()
    assert memory.begin("c", "stop", SOON)
    again, problems = reopened()
    assert (again.recall("c").answer, problems) == (INTERRUPTED, [])


def test_a_link_is_replaced_and_its_target_left_alone(path, reopened, tmp_path):
    target = tmp_path / "precious"
    target.write_text("precious")
    path.parent.mkdir()
    path.symlink_to(target)
    memory, problems = reopened(is_expected=False)
    assert len(problems) == 1
    assert memory.begin("a", "stop", SOON)
    assert target.read_text() == "precious"
    assert not path.is_symlink()


def test_what_cannot_be_written_is_kept_until_the_end_and_missed_after_it(filled, reopened):
    problems: list[str] = []
    filled._on_problem = problems.append
    filled._db.execute("PRAGMA query_only = 1")  # as a disk that takes nothing more
    assert filled.begin("c", "stop", SOON)
    assert filled.recall("c").answer == INTERRUPTED
    assert "cannot be written" in problems[0]
    filled.settle("c", DONE)
    assert len(problems) == 1
    memory, problems = reopened()
    assert len(problems) == 1
    assert memory.unproven_until_s > 0


def test_ids_go_when_they_cannot_come_true_and_not_before(filled, reopened, monkeypatch):
    monkeypatch.setattr(memory_module, "CAPACITY", 4)
    soon = time.time() + 100
    for cmd_id in ("a", "b"):
        filled._known[cmd_id] = filled.recall(cmd_id)._replace(until_s=soon)
    assert filled.begin("past", "stop", time.time() - 1)
    assert filled.begin("far", "stop", time.time() + 1e9)
    assert filled.begin("c", "stop", soon)
    assert filled.begin("d", "stop", soon)
    assert not filled.begin("e", "stop", soon)
    assert [i for i in ("a", "b", "c", "d", "past", "far", "e") if filled.recall(i)] == [
        "a", "b", "c", "d",
    ]  # fmt: skip
