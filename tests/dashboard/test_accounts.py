"""The file of accounts."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cli.dashboard import app
from edge.dashboard.accounts import Accounts
from edge.errors import ConfigError


def test_passwords_are_kept_as_argon2_in_a_private_file(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path / "data")
    accounts.add("anna", "operator", "a long password")
    text = accounts.path.read_text()
    assert "$argon2id$" in text
    assert "a long password" not in text
    assert accounts.path.stat().st_mode & 0o777 == 0o600
    assert accounts.path.parent.stat().st_mode & 0o777 == 0o700
    assert accounts.verify("anna", "a long password").role == "operator"
    assert accounts.verify("anna", "a long passwore") is None
    assert accounts.verify("nobody", "nobody has this password") is None


@pytest.mark.parametrize(
    ("name", "role", "password", "problem"),
    [
        ("../x", "viewer", "a long password", "NAME: expected letters"),
        ("anna", "admin", "a long password", "--role: expected one of viewer"),
        ("anna", "viewer", "short", "password: expected 10 to 200"),
    ],
)
def test_what_is_no_account_is_refused(
    tmp_path: Path, name: str, role: str, password: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        Accounts(tmp_path).add(name, role, password)
    assert not (tmp_path / "accounts.json").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"accounts": {"a": {"role": "root", "hash": ""}}}'])
def test_a_damaged_file_lets_nobody_in(tmp_path: Path, text: str) -> None:
    (tmp_path / "accounts.json").write_text(text)
    with pytest.raises(ConfigError, match="restore it, or remove it"):
        Accounts(tmp_path).verify("a", "")


def test_accounts_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "dashboard.yaml").write_text("folder: data\n")
    secret = tmp_path / "password"
    secret.write_text("a long password\n")
    secret.chmod(0o600)
    file = ["--file", str(tmp_path / "dashboard.yaml")]
    run = CliRunner().invoke
    add = ["account", "add", "anna", "--role", "engineer", "--password-file", str(secret)]
    done = run(app, [*add, *file])
    assert (done.exit_code, done.output) == (0, "anna: may sign in as engineer\n")
    assert run(app, ["account", "list", *file]).output == "anna engineer\n"
    assert run(app, ["account", "remove", "anna", *file]).exit_code == 0
    assert run(app, ["account", "list", *file]).output == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "expected a password, the file is empty"), ("one\ntwo\n", "found several lines")],
)
def test_a_file_that_holds_no_password_is_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "dashboard.yaml").write_text("folder: data\n")
    secret = tmp_path / "password"
    secret.write_text(content)
    secret.chmod(0o600)
    file = ["--file", str(tmp_path / "dashboard.yaml")]
    done = CliRunner().invoke(app, ["account", "add", "a", "--password-file", str(secret), *file])
    assert isinstance(done.exception, ConfigError)
    assert message in str(done.exception)
    done = CliRunner().invoke(app, ["account", "remove", "a", *file])
    assert "there is no account, got a" in str(done.exception)
