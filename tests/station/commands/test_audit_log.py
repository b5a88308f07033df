"""The audit log keeps its order and shows that somebody changed it."""

from __future__ import annotations

import json

import pytest

from edge.errors import PublishError
from edge.station.commands import audit_log as audit_module
from edge.station.commands.audit_log import AuditLog, broken_line


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "n.s.audit.jsonl"


def fill(path, count):
    log = AuditLog(path)
    for number in range(count):
        log.write({"number": number, "by": "müller"})
    return log


def test_lines_are_chained_over_restarts(path):
    fill(path, 2)
    fill(path, 2)
    lines = path.read_bytes().splitlines()
    assert broken_line(lines) is None
    assert [json.loads(line)["number"] for line in lines] == [0, 1, 0, 1]
    assert [entry["number"] for entry in AuditLog(path).entries()] == [0, 1, 0, 1]


@pytest.mark.parametrize("harm", [
    lambda lines: [lines[0].replace(b'"number": 0', b'"number": 9'), *lines[1:]],
    lambda lines: [lines[0], *lines[2:]],
    lambda lines: [lines[1], lines[0], *lines[2:]],
    lambda lines: [*lines[:2], b"[]", *lines[3:]],
])  # fmt: skip
def test_an_altered_line_is_told(path, harm, caplog):
    fill(path, 4)
    path.write_bytes(b"\n".join(harm(path.read_bytes().splitlines())) + b"\n")
    AuditLog(path)
    assert "altered or damaged" in caplog.text


def test_an_unharmed_log_says_nothing(path, caplog):
    fill(path, 4)
    AuditLog(path)
    assert caplog.text == ""


def test_half_a_line_does_not_swallow_the_next(path):
    fill(path, 2)
    with path.open("ab") as file:
        file.write(b'{"number": 2, "by')
    fill(path, 1)
    assert [entry["number"] for entry in AuditLog(path).entries()] == [0, 1, 0]


def test_a_full_file_is_put_away_and_the_chain_goes_on(path, monkeypatch):
    monkeypatch.setattr(audit_module, "MAX_BYTES", 150)
    fill(path, 3)
    old = path.with_name(f"{path.name}.1")
    assert broken_line(old.read_bytes().splitlines() + path.read_bytes().splitlines()) is None


def test_a_log_that_cannot_be_read_is_one_clear_line(path):
    path.mkdir(parents=True)
    with pytest.raises(PublishError, match="cannot be read"):
        AuditLog(path)
