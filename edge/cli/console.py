"""What all commands share: errors become one line and an exit code, logs and progress go to stderr.

Standard output belongs to the result of a command, so that it can be piped.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone

import typer

from edge.errors import EdgeError, WriteError

INTERRUPTED = 130
_COLOURS = {"WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[31m"}
_LEVELS = ("debug", "info", "warning", "error")


def make_app() -> typer.Typer:
    """Make the application of one command; tracebacks stay plain, so that logs can hold them."""
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def run(app: typer.Typer) -> None:
    """Run a command and end the process with its exit code.

    The only place where an EdgeError becomes a line on stderr and a code: 0 for success, 2 for
    usage, `exit_code` of the error, 130 for Ctrl-C. An OSError about a file becomes a line, too:
    paths, owners and disks are not ours. Any other exception is a defect of ours: it keeps its
    traceback and ends with 1.
    """
    code = 0
    try:
        app()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except EdgeError as error:
        for problem in str(error).splitlines():
            print(f"error: {problem}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = 1
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {_file_problem(error)}", file=sys.stderr)
        code = WriteError.exit_code
    sys.exit(_flushed(code))


def _file_problem(error: OSError) -> str:
    path = error.filename if isinstance(error.filename, int) else os.fsdecode(error.filename)
    return f"{path}: {error.strerror}; check the path, its owner and the free space of the disk"


def _flushed(code: int) -> int:
    """Write out what is buffered; the reader of a pipe may be gone, which is no one's fault."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes again at exit and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def setup_logging(level: str = "info", *, as_json: bool = False) -> None:
    """Log to stderr: one event per line with key=value pairs, or one JSON object per line.

    Raises:
        typer.BadParameter: the level is none of debug, info, warning, error.
    """
    if level not in _LEVELS:
        raise typer.BadParameter(f"expected one of {', '.join(_LEVELS)}, got {level}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if as_json else _Lines(is_coloured=_is_terminal()))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far `total` steps have come; call the value with the steps done since.

    A bar on a terminal; elsewhere a plain line at the end and, if it takes long, every ten seconds.
    """
    if _is_terminal():
        # Rich takes a tenth of a second to import, and most runs have no terminal.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=total)
            yield lambda steps: bar.advance(task, steps)
        return
    plain = _PlainProgress(title, total)
    yield plain.step
    plain.say()


class _PlainProgress:
    def __init__(self, title: str, total: int):
        self._title, self._total, self._done = title, total, 0
        self._said_s = time.monotonic()

    def step(self, steps: int) -> None:
        self._done += steps
        if time.monotonic() - self._said_s >= 10.0 and self._done < self._total:
            self.say()

    def say(self) -> None:
        self._said_s = time.monotonic()
        print(f"{self._title} {self._done}/{self._total}", file=sys.stderr, flush=True)


class _Lines(logging.Formatter):
    def __init__(self, *, is_coloured: bool):
        super().__init__()
        self._is_coloured = is_coloured

    def format(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname:7}"
        if self._is_coloured and record.levelname in _COLOURS:
            level = f"{_COLOURS[record.levelname]}{level}\033[0m"
        name = record.name.removeprefix("edge.")
        line = f"{_moment(record)} {level} {name}: {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "ts": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def _moment(record: logging.LogRecord) -> str:
    utc = datetime.fromtimestamp(record.created, timezone.utc)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"


def _is_terminal() -> bool:
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ
