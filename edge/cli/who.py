"""Who gives a command, for records of it."""

from __future__ import annotations

import getpass
import socket


def who() -> str:
    """Return user and computer; only the computer where a container's user has no name."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):
        return socket.gethostname()
