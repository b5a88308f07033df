from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.atomic_file import replacing, write_bytes, write_text
from edge.errors import WriteError


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_replaced_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_text(path, "longer than what follows, with Ünicode")
    assert path.read_bytes() == "longer than what follows, with Ünicode".encode()
    write_bytes(path, memoryview(b"short"))
    assert path.read_bytes() == b"short"
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_it_as_the_umask_says(tmp_path: Path) -> None:
    write_text(tmp_path / "atomic", "")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_one_line_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "x.json"
    write_text(path, "old")
    monkeypatch.setattr(*(os, call) if call == "fsync" else (Path, call), full_disk)
    with pytest.raises(WriteError) as raised:
        write_text(path, "new")
    assert str(raised.value) == (
        f"{path}: cannot be written: No space left on device; free some space or choose another "
        "folder"
    )
    assert raised.value.reason == "No space left on device"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"x\.json: cannot be written: No such file or directory"):
        write_bytes(tmp_path / "absent" / "x.json", b"")


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_text(path, "old")

    def interrupted() -> None:
        with replacing(path) as part:
            part.write_text("ha")
            assert path.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_the_data_is_on_the_disk_before_it_takes_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, order = tmp_path / "x.json", []
    sync, replace = os.fsync, Path.replace

    def spy(name: str, call: Callable[..., object]) -> Callable[..., object]:
        def called(*args: object) -> object:
            order.append(name)
            return call(*args)

        return called

    monkeypatch.setattr(os, "fsync", spy("sync", sync))
    monkeypatch.setattr(Path, "replace", spy("replace", replace))
    write_text(path, "new")
    assert order == ["sync", "replace", "sync"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_private_file_is_its_owners_alone(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "private"
    path.write_text("wide")
    path.chmod(0o644)
    before = os.umask(umask)
    try:
        write_bytes(path, b"narrow", is_private=True)
    finally:
        os.umask(before)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"narrow", 0o600)
