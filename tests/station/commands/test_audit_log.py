"""The audit log keeps its order and shows that somebody changed it."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import time

import pytest

from edge.errors import PublishError
from edge.station.commands import audit_log as audit_module
from edge.station.commands.audit_check import audit_problems
from edge.station.commands.audit_file import anchor_path, put_away, read_anchor
from edge.station.commands.audit_log import AuditLog


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "n.s.audit.jsonl"


def fill(path, count, **options):
    log = AuditLog(path, **options)
    for number in range(count):
        log.write({"number": number, "by": "müller"})
    return log


def lines_of(path):
    return path.read_bytes().splitlines()


def write(path, lines):
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def test_lines_are_chained_over_restarts(path):
    fill(path, 2)
    fill(path, 2)
    assert audit_problems(path) == []
    assert [json.loads(line)["number"] for line in lines_of(path)] == [0, 1, 0, 1]
    assert [json.loads(line)["n"] for line in lines_of(path)] == [1, 2, 3, 4]
    assert [entry["number"] for entry in AuditLog(path).entries()] == [0, 1, 0, 1]


HARM = {
    "altered": (lambda lines: [lines[0].replace(b'"number": 0', b'"number": 9'), *lines[1:]],
                "record 1 was altered, before n.s.audit.jsonl line 2"),
    "last altered": (lambda lines: [*lines[:3], lines[3].replace(b'"number": 3', b'"number": 9')],
                     "record 4 was altered, the last of n.s.audit.jsonl"),
    "removed": (lambda lines: [lines[0], *lines[2:]],
                "record 2 is missing, before n.s.audit.jsonl line 2"),
    "swapped": (lambda lines: [lines[1], lines[0], *lines[2:]],
                "record 1 is missing, before n.s.audit.jsonl line 1"),
    "replaced": (lambda lines: [*lines[:2], b"[]", *lines[3:]],
                 "record 3 is missing, before n.s.audit.jsonl line 4"),
    "first removed": (lambda lines: lines[2:],
                      "records 1 to 2 are missing, before n.s.audit.jsonl line 1"),
    "cut": (lambda lines: lines[:2], "records 3 to 4 are missing, cut off the end of"),
    "cut by one": (lambda lines: lines[:3], "record 4 is missing, cut off the end of"),
    "emptied": (lambda _: [], "records 1 to 4 are missing, cut off the end of"),
    "doubled": (lambda lines: [*lines, lines[3]], "record 4 comes again after record 4"),
    "extended": (lambda lines: [*lines, *(b'{"n": %d, "prev": "x"}' % n for n in (5, 6))],
                 "record 4 was altered, before n.s.audit.jsonl line 5"),
}  # fmt: skip


@pytest.mark.parametrize("harm", HARM)
def test_harm_is_told_with_its_place_also_after_it_went_on(path, harm, caplog):
    change, told = HARM[harm]
    fill(path, 4)
    write(path, change(lines_of(path)))
    assert told in audit_problems(path)[0]
    if harm == "extended":
        return
    log = AuditLog(path)
    if harm != "first removed":  # it does not read as far back at the start
        assert log.problems
        assert "altered or damaged" in caplog.text
    log.write({"number": 4})
    log.write({"number": 5})
    assert log.anchor.count == 6
    assert audit_problems(path), "the gap stays visible"


def test_a_log_that_is_gone_is_told_and_its_numbers_go_on(path):
    fill(path, 4)
    path.unlink()
    assert audit_problems(path) == [
        "records 1 to 4 are missing, cut off the end of n.s.audit.jsonl"
    ]
    fill(path, 1)
    assert json.loads(lines_of(path)[0])["n"] == 5
    (problem,) = audit_problems(path)
    assert problem.startswith("records 1 to 4 are missing, before")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"count": -1, "head": "", "first": 1}',
                                    b'{"count": true, "head": "", "first": 1}',
                                    b"[" * 10_000])  # fmt: skip
def test_an_anchor_that_is_lost_is_told(path, damage):
    fill(path, 2)
    anchor_path(path).write_bytes(damage)
    assert audit_problems(path) == ["n.s.audit.head.json is missing or damaged"]
    log = fill(path, 1)
    assert log.anchor.count == 3
    assert read_anchor(path) == log.anchor


def test_an_unharmed_log_says_nothing(path, caplog):
    fill(path, 4)
    assert AuditLog(path).problems == []
    assert caplog.text == ""
    assert audit_problems(path.with_name("none")) == []


def test_a_log_without_numbers_of_an_older_version_goes_on(path):
    path.parent.mkdir()
    write(path, [b'{"number": 0, "prev": ""}'])
    log = AuditLog(path)
    assert log.problems == []
    log.write({"number": 1})
    assert log.anchor.count == 2
    assert audit_problems(path) == []


def test_half_a_line_does_not_swallow_the_next(path):
    fill(path, 2)
    with path.open("ab") as file:
        file.write(b'{"number": 2, "by')
    fill(path, 1)
    assert [entry["number"] for entry in AuditLog(path).entries()] == [0, 1, 0]
    assert audit_problems(path) == []


def test_a_power_cut_between_log_and_anchor_is_no_attack(path):
    fill(path, 2)
    before = anchor_path(path).read_bytes()
    fill(path, 1)
    anchor_path(path).write_bytes(before)
    assert audit_problems(path) == []
    assert fill(path, 1).anchor.count == 4
    assert audit_problems(path) == []


def test_a_full_disk_leaves_no_half_record(path):
    log = fill(path, 2)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            log.write({"number": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    log.write({"number": 2})
    assert audit_problems(path) == []


def test_a_full_file_is_put_away_and_the_chain_goes_on(path, monkeypatch):
    monkeypatch.setattr(audit_module, "MAX_BYTES", 300)
    fill(path, 10)
    older = put_away(path)
    assert len(older) > 1
    assert audit_problems(path) == []
    assert AuditLog(path).anchor.count == 10
    write(older[0], lines_of(older[0])[:-1])
    assert "is missing, before" in audit_problems(path)[0]
    older[-1].unlink()
    assert "are missing" in audit_problems(path)[-1]


def test_old_files_go_after_their_time_and_the_log_stays_whole(path, monkeypatch):
    monkeypatch.setattr(audit_module, "MAX_BYTES", 300)
    fill(path, 10)
    older = put_away(path)
    past = time.time() - 100
    for each in older:
        os.utime(each, (past, past))
    fill(path, 10, keep_s=1000)
    assert set(older) < set(put_away(path))
    for each in older:
        os.utime(each, (past, past))
    fill(path, 10, keep_s=50)
    assert not set(older) & set(put_away(path))
    assert audit_problems(path) == []
    monkeypatch.setattr(audit_module, "MAX_FILES", 2)
    fill(path, 10)
    assert len(put_away(path)) == 2
    assert audit_problems(path) == []
    put_away(path)[0].unlink()
    assert "are missing" in audit_problems(path)[0]


def test_its_files_are_for_the_owner_alone(path):
    path.parent.mkdir()
    path.touch(mode=0o666)
    path.chmod(0o666)
    fill(path, 1)
    for each in (path, anchor_path(path)):
        assert stat.S_IMODE(each.stat().st_mode) == 0o600


def test_a_link_is_not_followed(path, tmp_path):
    target = tmp_path / "precious"
    target.write_text("precious\n")
    log = AuditLog(path)
    path.parent.mkdir()
    path.symlink_to(target)
    with pytest.raises(OSError, match=r"[Ll]ink"):
        log.write({"number": 0})
    assert target.read_text() == "precious\n"
    with pytest.raises(PublishError, match="cannot be read"):
        AuditLog(path)


def test_a_log_that_cannot_be_read_is_one_clear_line(path):
    path.mkdir(parents=True)
    with pytest.raises(PublishError, match="cannot be read"):
        AuditLog(path)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(PublishError, match="expected a regular file"):
        AuditLog(path)
