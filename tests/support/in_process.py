"""Runs a command in the process of the tests: its imports take longer than what it does."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, NamedTuple


class Done(NamedTuple):
    """What a command did, as subprocess.CompletedProcess names it."""

    returncode: Any
    stdout: str
    stderr: str


def run_here(main: Callable[[], None], name: str, *arguments: object) -> Done:
    """Run the entry point `main` as the command `name`, and leave the process as it was."""
    out, errors, code = io.StringIO(), io.StringIO(), 0
    argv, hook, sys.argv = sys.argv, threading.excepthook, [name, *map(str, arguments)]
    try:
        with redirect_stdout(out), redirect_stderr(errors):
            main()
    except SystemExit as ending:
        code = ending.code  # type: ignore[assignment]
    finally:
        sys.argv, threading.excepthook = argv, hook
        logging.basicConfig(force=True)
    return Done(code, out.getvalue(), errors.getvalue())
