"""Whatever stands in the outbox file, reading it ends no station: bad rows go aside."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.config.mqtt import SpoolSettings
from edge.outputs.outbox import Outbox
from edge.outputs.outbox_file import MAX_ROW_BYTES
from tests.support.mqtt_results import make_payload

RESULT = {**make_payload(), "seq": 2, "msg_id": "m"}
POISON: dict[str, object] = {
    "no JSON": "{",
    "empty": "",
    "a list": "[1, 2]",
    "a number": "1e999",
    "a word": '"seq"',
    "deep": "[" * 100_000,
    "a huge number": '{"seq": ' + "9" * 10_000 + "}",
    "no fields": "{}",
    "another number": json.dumps({**RESULT, "seq": 3}),
    "another verdict": json.dumps({**RESULT, "result": "perfect"}),
    "a verdict that is a list": json.dumps({**RESULT, "result": ["pass"]}),
    "msg_id that is none": json.dumps({**RESULT, "msg_id": 7}),
    "bytes": b"\x00\xff\xfe",
    "bytes that would be a result": json.dumps(RESULT).encode(),
    "an integer": 5,
    "not UTF-8": sqlite3.Binary(b"{\xff}"),
    "larger than any broker takes": "x" * (MAX_ROW_BYTES + 1),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    outbox = Outbox(path, SpoolSettings())
    outbox.append([make_payload(f"p-{i}") for i in range(3)])
    yield outbox
    outbox.close()


def change(path: Path, statement: str, *values: object) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(statement, values)
    db.close()


def seqs(outbox: Outbox) -> list[int]:
    return [row.seq for row in outbox.pending(0, 100)]


@pytest.mark.parametrize("name", POISON)
def test_a_row_that_is_no_result_is_set_aside_while_others_go_on(
    outbox: Outbox, path: Path, name: str
) -> None:
    change(path, "UPDATE results SET payload = ? WHERE seq = 2", POISON[name])
    assert seqs(outbox) == [1, 3]
    assert (outbox.depth, outbox.lost, outbox.set_aside) == (2, 1, 1)
    assert outbox.append([make_payload()])[0]["seq"] == 4
    db = sqlite3.connect(path)
    ((seq, reason),) = db.execute("SELECT seq, reason FROM set_aside").fetchall()
    db.close()
    assert seq == 2
    assert reason


def test_text_that_is_not_utf8_is_set_aside(outbox: Outbox, path: Path) -> None:
    change(path, "UPDATE results SET payload = CAST(x'7bff7d' AS TEXT) WHERE seq = 2")
    assert seqs(outbox) == [1, 3]


@pytest.mark.parametrize("name", POISON)
def test_a_row_that_is_no_result_at_the_start_ends_nothing(
    outbox: Outbox, path: Path, name: str
) -> None:
    outbox.close()
    change(path, "UPDATE results SET payload = ? WHERE seq = 2", POISON[name])
    again = Outbox(path, SpoolSettings())
    assert seqs(again) == [1, 3]
    assert (again.lost, again.set_aside) == (1, 1)
    again.close()


@pytest.mark.parametrize(
    "assignment",
    [
        "created_s = 'yesterday'", "created_s = x'00'", "created_s = 9e999", "created_s = -9e999",
        "size = 'large'", "size = -5", "size = x'ff'", "size = 1.5", "seq = -1", "seq = 0",
        "seq = 9223372036854775807",
    ],
)  # fmt: skip
@pytest.mark.parametrize("when", ["at the start", "in use"])
def test_impossible_columns_end_nothing(
    outbox: Outbox, path: Path, assignment: str, when: str
) -> None:
    if when == "at the start":
        outbox.close()
    change(path, f"UPDATE results SET {assignment} WHERE seq = 2")
    used = Outbox(path, SpoolSettings(max_rows=3)) if when == "at the start" else outbox
    assert {1, 3} <= set(seqs(used)) <= {1, 2, 3, 9223372036854775807}
    assert used.append([make_payload()])[0]["seq"] == 4
    assert used.oldest_age_s() >= 0
    used.remove([1, 3])
    used.close()
    last = Outbox(path, SpoolSettings(max_rows=1))
    assert last.append([make_payload()])[0]["seq"] == 5
    last.close()


@pytest.mark.parametrize("table", ["totals", "facts"])
@pytest.mark.parametrize("value", ["'x'", "x'ff'", "-5", "9223372036854775807", "1.5"])
def test_impossible_totals_and_facts_use_no_number_twice(
    outbox: Outbox, path: Path, table: str, value: str
) -> None:
    outbox.close()
    change(path, f"UPDATE {table} SET value = {value}")
    again = Outbox(path, SpoolSettings())
    assert again.append([make_payload()])[0]["seq"] == 4
    assert again.continuity.broken
    again.close()


def test_rows_that_cannot_be_set_aside_on_a_full_disk_hold_up_no_other(
    outbox: Outbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(path, "UPDATE results SET payload = 'x' WHERE seq IN (1, 2)")

    def fails(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(outbox._tables, "set_aside", fails)
    assert seqs(outbox) == [3]
    assert outbox.set_aside == 2
