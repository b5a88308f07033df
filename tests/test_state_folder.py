"""What must survive a restart is its owner's alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.errors import PublishError
from edge.private_file import open_private
from edge.state_folder import prepare_state_folder

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
STRANGER = 4321


@pytest.fixture(autouse=True, params=[0o022, 0o000, 0o077])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def our_folder(path: Path, rights: int) -> Path:
    """A folder as earlier versions made it: outbox and audit log open to others."""
    path.mkdir()
    for name in ("n.s.outbox.db", "n.s.audit.jsonl", "n.s.outbox.db.lock"):
        (path / name).write_text("x")
        (path / name).chmod(0o644)
    path.chmod(rights)
    return path


def test_a_new_folder_is_its_owners_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "state"
    prepare_state_folder(folder)
    assert mode(folder) == 0o700
    assert not caplog.records


@pytest.mark.parametrize("rights", [0o755, 0o750, 0o777, 0o701, 0o2775])
def test_a_wider_folder_is_tightened_with_its_files_and_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, rights: int
) -> None:
    folder = our_folder(tmp_path / "state", rights)
    prepare_state_folder(folder)
    assert mode(folder) & 0o777 == 0o700
    assert {mode(path) for path in folder.iterdir()} == {0o600}
    (record,) = caplog.records
    assert "state folder was open to others, now it is not" in record.getMessage()
    caplog.clear()
    prepare_state_folder(folder)
    assert not caplog.records


def test_an_empty_folder_is_tightened(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o755)
    prepare_state_folder(tmp_path / "state")
    assert mode(tmp_path / "state") == 0o700


def test_a_folder_of_other_things_keeps_its_rights(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "station.yaml").write_text("x")
    (folder / "station.yaml").chmod(0o644)
    folder.chmod(0o755)
    prepare_state_folder(folder)
    assert (mode(folder), mode(folder / "station.yaml")) == (0o755, 0o644)
    assert "holds other things" in caplog.text
    folder.chmod(0o777)
    with pytest.raises(PublishError, match=r"everybody may write to it \(mode 0777\)"):
        prepare_state_folder(folder)
    assert mode(folder) == 0o777


def test_a_folder_of_all_users_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    folder = our_folder(tmp_path / "tmp", 0o1777)
    with pytest.raises(PublishError, match="is shared by all users; choose a folder of its own"):
        prepare_state_folder(folder)
    assert mode(folder) == 0o1777


@needs_root
def test_what_belongs_to_another_user_is_refused(tmp_path: Path) -> None:
    folder = our_folder(tmp_path / "state", 0o700)
    file = folder / "n.s.audit.jsonl"
    os.chown(file, STRANGER, STRANGER)
    with pytest.raises(PublishError, match=r"n\.s\.audit\.jsonl belongs to user 4321"):
        prepare_state_folder(folder)
    os.chown(folder, STRANGER, STRANGER)
    with pytest.raises(PublishError, match="belongs to user 4321, and this is user 0"):
        prepare_state_folder(folder)


def test_a_link_to_the_folder_is_followed_if_it_is_ours(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(our_folder(tmp_path / "state", 0o755))
    prepare_state_folder(link)
    assert mode(tmp_path / "state") == 0o700


@needs_root
def test_a_link_of_another_user_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(our_folder(tmp_path / "state", 0o755))
    os.lchown(link, STRANGER, STRANGER)
    with pytest.raises(PublishError, match="is a link of user 4321; delete it"):
        prepare_state_folder(link)
    assert mode(tmp_path / "state") == 0o755


def test_a_link_in_the_folder_is_refused_and_its_target_kept(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    victim.chmod(0o644)
    folder = our_folder(tmp_path / "state", 0o755)
    (folder / "n.s.outbox.db.lock").unlink()
    (folder / "n.s.outbox.db.lock").symlink_to(victim)
    with pytest.raises(PublishError, match=r"outbox\.db\.lock is a link; delete it"):
        prepare_state_folder(folder)
    assert (victim.read_text(), mode(victim)) == ("precious", 0o644)


@pytest.mark.parametrize("path", ["/dev/null/state", "/proc/state"])
def test_a_folder_that_cannot_be_made_is_one_line(path: str) -> None:
    with pytest.raises(PublishError, match=f"state folder {path}: cannot be used: ") as caught:
        prepare_state_folder(Path(path))
    assert "\n" not in str(caught.value)


def test_who_can_replace_the_folder_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    prepare_state_folder(tmp_path / "open" / "state")
    assert "others can replace the state folder" in caplog.text


def test_a_private_file_is_private_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "file"
    descriptor = open_private(path, os.O_RDWR)
    assert mode(path) == 0o600
    assert not os.get_inheritable(descriptor)
    os.write(descriptor, b"kept")
    os.close(descriptor)
    path.chmod(0o666)
    os.close(open_private(path, os.O_RDWR | os.O_TRUNC))
    assert (path.read_bytes(), mode(path)) == (b"kept", 0o600)


def test_a_private_file_is_no_link_and_no_pipe(tmp_path: Path) -> None:
    victim, link, pipe = tmp_path / "victim", tmp_path / "link", tmp_path / "pipe"
    victim.write_text("precious")
    link.symlink_to(victim)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(pipe)
    for path in (link, tmp_path / "dangling"):
        with pytest.raises(OSError, match="found a symbolic link"):
            open_private(path, os.O_RDWR)
    with pytest.raises(OSError, match="expected a regular file"):
        open_private(pipe, os.O_RDWR)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()
