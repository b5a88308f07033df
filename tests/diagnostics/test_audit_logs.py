"""edge-doctor finds cuts and changes of the audit logs in a state folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.diagnostics.doctor import examine
from edge.station.commands.audit_log import AuditLog


def found(folder: Path) -> list[tuple[str, str]]:
    return [(f.level, f.detail) for f in examine(folder) if f.subject == "audit log"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "n.s.audit.jsonl"
    log = AuditLog(path)
    for number in range(5):
        log.write({"number": number})
    return path


def test_each_log_is_checked_and_harm_has_its_place(path: Path) -> None:
    other = AuditLog(path.with_name("n.side.audit.jsonl"))
    other.write({"number": 0})
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))
    other.path.unlink()
    assert found(path.parent) == [
        ("problem", f"{path}: records 4 to 5 are missing, cut off the end of {path.name}"),
        ("problem", f"{other.path}: record 1 is missing, cut off the end of {other.path.name}"),
    ]
    path.write_bytes(b"".join(lines))
    other.path.mkdir()
    assert found(path.parent) == [
        ("ok", f"{path}, 5 records, whole"),
        ("problem", f"{other.path}: cannot be read: Is a directory"),
    ]


def test_a_folder_without_logs_says_nothing(tmp_path: Path) -> None:
    assert found(tmp_path) == []
