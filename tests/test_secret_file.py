"""A password is read only from where nobody else could have read it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.errors import ConfigError
from edge.secret_file import MAX_BYTES, check_secret_file, read_secret


def write(folder: Path, data: bytes, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    "data",
    [
        b"geheim",
        b"geheim\n",
        b"geheim\r\n",
        b"geheim\n\n",
        b"\xef\xbb\xbfgeheim",
        b"\xef\xbb\xbfgeheim\r\n",
    ],
)
def test_the_mark_and_the_line_break_are_no_part_of_the_password(
    tmp_path: Path, data: bytes
) -> None:
    assert read_secret(write(tmp_path, data), "key") == "geheim"


@pytest.mark.parametrize("text", [" ge heim ", "größer", "\ta", "=;#"])
def test_everything_else_is(tmp_path: Path, text: str) -> None:
    assert read_secret(write(tmp_path, f"{text}\n".encode()), "key") == text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "the file is empty"),
        (b"\n", "the file is empty"),
        (b"\xef\xbb\xbf\r\n", "the file is empty"),
        ("geheim".encode("utf-16"), "found UTF-16; save it as UTF-8"),
        (b"\xfe\xff" + "geheim".encode("utf-16-be"), "found UTF-16"),
        ("geheim".encode("utf-16-le"), "found UTF-16"),
        (b"geh\xe4im", "found another encoding"),
        (b"geheim\nzweite", "found several lines"),
        (b"geheim\rzweite", "found several lines"),
        (b"x" * (MAX_BYTES + 1), "expected at most 65536 bytes"),
    ],
)
def test_what_is_no_password_is_one_line_without_it(
    tmp_path: Path, data: bytes, expected: str
) -> None:
    path = write(tmp_path, data)
    with pytest.raises(ConfigError) as caught:
        read_secret(path, "mqtt.password_file")
    assert str(caught.value).startswith(f"mqtt.password_file: {path}: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "geh" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o644, 0o604, 0o620, 0o666, 0o444, 0o601, 0o610])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path, b"geheim", mode)
    for read in (read_secret, check_secret_file):
        with pytest.raises(
            ConfigError, match=rf"others can read it \(mode {mode:04o}\); chmod 600"
        ):
            read(path, "key")


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_the_owner_alone_may_read_it(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path, b"geheim", mode)
    assert read_secret(path, "key") == "geheim"
    check_secret_file(path, "key")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of root's")
def test_what_systemd_makes_of_a_credential_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path, b"geheim", 0o440)
    assert read_secret(path, "key") == "geheim"
    os.chown(path, 1234, 0)
    with pytest.raises(ConfigError, match="others can read it"):
        read_secret(path, "key")


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigError, match="expected a regular file"):
            read_secret(path, "key")
    for path, reason in ((tmp_path / "none", "No such file"), (Path("a\0b"), "null byte")):
        with pytest.raises(ConfigError, match=f"expected a readable file, got .*{reason}"):
            read_secret(path, "key")


def test_a_link_leads_to_the_file_as_secrets_of_containers_do(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(write(tmp_path, b"geheim"))
    assert read_secret(tmp_path / "link", "key") == "geheim"
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(ConfigError, match="others can read it"):
        read_secret(tmp_path / "link", "key")
