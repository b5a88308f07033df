"""Who may sign in, as what: names, roles and argon2 hashes in a file of the dashboard's folder."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from edge.atomic_file import write_bytes
from edge.errors import ConfigError

FILE = "accounts.json"
# Each role may do what those before it may.
ROLES = ("viewer", "operator", "engineer")
NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 200
MAX_BYTES = 2**20
# Commands that each role adds to those of the roles before it; all others are the engineer's.
OPERATOR_COMMANDS = frozenset(
    {"acknowledge_alert", "start_continuous", "start_single_job", "stop", "trigger", "reset"}
)
VIEWER_COMMANDS = frozenset({"get_state", "get_picture"})


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may sign in.

    `stamp` changes with the password, and ends the sessions that began with the one before.
    """

    name: str
    role: str
    stamp: str = field(default="", repr=False)

    def may(self, role: str) -> bool:
        """Tell whether the account has this role or a higher one."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def may_send(self, command: str) -> bool:
        """Tell whether the account may send a command to a station."""
        if command in VIEWER_COMMANDS:
            return True
        return self.may("operator" if command in OPERATOR_COMMANDS else "engineer")


class Accounts:
    """The file of accounts; it is read at every sign-in, so that a change holds at once.

    Args:
        folder: of the dashboard.
    """

    def __init__(self, folder: Path):
        self.path = folder / FILE
        self._hasher = PasswordHasher()
        self._lock = threading.Lock()
        # Verified for names that do not exist, so that both take the same time.
        self._nobody = self._hasher.hash("nobody has this password")

    def names(self) -> list[str]:
        """Return all names."""
        return sorted(self._read())

    def add(self, name: str, role: str, password: str) -> None:
        """Add an account, or give it a new role and password.

        Raises:
            ConfigError: name, role or password is none, or the file cannot be used.
        """
        if not NAME.fullmatch(name):
            raise ConfigError(f"NAME: expected letters, digits, _ . @ and -, got {name!r}")
        if role not in ROLES:
            raise ConfigError(f"--role: expected one of {', '.join(ROLES)}, got {role}")
        if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
            raise ConfigError(
                f"password: expected {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters, got "
                f"{len(password)}"
            )
        with self._lock:
            self._write({**self._read(), name: _entry(role, self._hasher.hash(password))})

    def remove(self, name: str) -> None:
        """Remove an account.

        Raises:
            ConfigError: there is none of this name.
        """
        with self._lock:
            known = dict(self._read())
            if known.pop(name, None) is None:
                there = f"expected one of {', '.join(known)}" if known else "there is no account"
                raise ConfigError(f"NAME: {there}, got {name}")
            self._write(known)

    def find(self, name: str) -> Account | None:
        """Return an account as it is now, None when it is gone."""
        entry = self._read().get(name)
        return None if entry is None else _account(name, entry)

    def verify(self, name: str, password: str) -> Account | None:
        """Return the account if the password is its own; takes as long if it is not."""
        entry = self._read().get(name)
        try:
            self._hasher.verify(
                self._nobody if entry is None else entry["hash"], password[: LONGEST_PASSWORD + 1]
            )
        except (Argon2Error, InvalidHashError):
            return None
        return None if entry is None else _account(name, entry)

    def _read(self) -> Mapping[str, Any]:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read: {error.strerror}") from error
        try:
            if len(data) > MAX_BYTES:
                raise ValueError(f"expected at most {MAX_BYTES} bytes")
            found = json.loads(data)["accounts"]
            return {
                str(name): _entry(ROLES[ROLES.index(each["role"])], str(each["hash"]))
                for name, each in found.items()
            }
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigError(
                f"{self.path}: expected accounts as edge-dashboard writes them: {error}; restore "
                "it, or remove it and add the accounts again"
            ) from error

    def _write(self, accounts: Mapping[str, Any]) -> None:
        text = json.dumps({"accounts": dict(sorted(accounts.items()))}, indent=2)
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_bytes(self.path, f"{text}\n".encode())
        self.path.chmod(0o600)


def _account(name: str, entry: Mapping[str, str]) -> Account:
    stamp = hashlib.sha256(entry["hash"].encode()).hexdigest()
    return Account(name, entry["role"], stamp)


def _entry(role: str, hashed: str) -> dict[str, str]:
    return {"role": role, "hash": hashed}
