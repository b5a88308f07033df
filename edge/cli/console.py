"""What all commands share: errors become one line and an exit code, logs and progress go to stderr.

Standard output belongs to the result of a command, so that it can be piped.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shlex
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import typer

from edge.cli.plain_progress import PlainProgress
from edge.cli.standard_streams import open_missing, silence
from edge.errors import EdgeError, ToolchainError, WriteError
from edge.printable_text import escaped, escaped_lines
from edge.redaction import redacted, redacted_words

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130
# What a disk says that takes no more; some libraries do not say of which file.
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
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
    open_missing()
    threading.excepthook = _thread_ended
    code: object = 0
    try:
        code = app(standalone_mode=False)
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except EdgeError as error:
        for problem in getattr(error, "problems", (str(error),)):
            _print_error(problem)
        code = error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = 1
    except Exception as error:  # noqa: BLE001 - what is left ends the process in any case
        code = _ended_by(error)
    sys.exit(_flushed(code if isinstance(code, int) else 0))


def say(text: object) -> None:
    """Print a line of a result for people, made safe for a terminal."""
    print(escaped(redacted(str(text))), flush=True)


def say_next(*words: object) -> None:
    """Print the command that comes next; words in capitals are for the reader to fill in."""
    say(f"next: {shlex.join(str(word) for word in words)}")


def _ended_by(error: Exception) -> int:
    """Print what ended a command, and return its exit code."""
    if isinstance(error, OSError) and error.filename is not None:
        _print_error(_file_problem(error))
        return WriteError.exit_code
    if isinstance(error, OSError) and error.errno in _DISK:
        _print_error(f"{error.strerror}; free some space or choose another disk")
        return WriteError.exit_code
    if isinstance(error, ImportError):
        from edge.cli.missing_extra import advice

        if (line := advice(error, Path(sys.argv[0]).name)) is not None:
            _print_error(line)
            return ToolchainError.exit_code
    if hasattr(error, "format_message"):  # of click, which typer brings along under some name
        program = Path(sys.argv[0]).name
        _print_error(f"{redacted_words(error.format_message())} (see {program} --help)")
        return int(getattr(error, "exit_code", 2))
    if not isinstance(error, typer.Abort):
        _print_traceback(error)
    return 1


def _print_error(problem: str) -> None:
    with suppress(OSError):  # a terminal that is gone
        print(f"error: {escaped(redacted(problem))}", file=sys.stderr)


def _print_traceback(error: BaseException) -> None:
    text = "".join(traceback.format_exception(error)).rstrip("\n")
    print(escaped_lines(redacted(text)), file=sys.stderr, flush=True)


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    """Log the end of a thread; as it is, the interpreter would print what the error holds."""
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        name = ended.thread.name if ended.thread else "unknown"
        logging.getLogger(__name__).critical("thread ended name=%s", name, exc_info=ended.exc_value)


def _file_problem(error: OSError) -> str:
    path = error.filename if isinstance(error.filename, int) else os.fsdecode(error.filename)
    return f"{path}: {error.strerror}; check the path, its owner and the free space of the disk"


def _flushed(code: int) -> int:
    """Write out what is buffered; the reader of a pipe may be gone, which is no one's fault."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence(1)
    except OSError as error:
        silence(1)
        _print_error(f"standard output: cannot be written: {error.strerror}; free the disk")
        code = code or WriteError.exit_code
    try:
        sys.stderr.flush()
    except OSError:  # a terminal that is gone
        silence(2)
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


def rich_console(file: TextIO | None = None) -> Console:
    """Return a console for tables that shows what a terminal would obey; default standard output.

    Colours and tables are rich's own; text within them comes from file names, bundles and brokers.
    """
    # Rich takes a tenth of a second to import, and most runs print no table.
    from edge.cli.rich_console import PlainTextConsole

    return PlainTextConsole(file=file)


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far `total` steps have come; call the value with the steps done since.

    A bar with the time left on a terminal; elsewhere lines of text.
    """
    if _is_terminal():
        # Rich takes a tenth of a second to import, and most runs have no terminal.
        from rich.markup import escape
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn())
        left = (TimeRemainingColumn(), "left")
        with Progress(*columns, *left, console=rich_console(sys.stderr)) as bar:
            task = bar.add_task(escape(title), total=total)
            yield lambda steps: bar.advance(task, steps)
        return
    with PlainProgress(title, total).running() as plain:
        yield plain.step


class _Lines(logging.Formatter):
    """One line per event; a traceback stands behind it, indented, so that it forges no line."""

    def __init__(self, *, is_coloured: bool):
        super().__init__()
        self._is_coloured = is_coloured

    def format(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname:7}"
        if self._is_coloured and record.levelname in _COLOURS:
            level = f"{_COLOURS[record.levelname]}{level}\033[0m"
        name = escaped(record.name.removeprefix("edge."))
        line = f"{_moment(record)} {level} {name}: {_event(record)}"
        return "\n    ".join((line, *_traceback(record, self)))


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "ts": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _event(record),
        }
        if lines := _traceback(record, self):
            entry["traceback"] = "\n".join(lines)
        return json.dumps(entry, ensure_ascii=False)


def _event(record: logging.LogRecord) -> str:
    """Return the message in one line, without credentials, whatever library it comes from."""
    try:
        message = record.getMessage()
    except (TypeError, ValueError):  # a wrong format string must not end a thread or lose a line
        message = f"{record.msg} {record.args}"
    return escaped(redacted(message))


def _traceback(record: logging.LogRecord, formatter: logging.Formatter) -> list[str]:
    parts = []
    if record.exc_info:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(record.stack_info)
    text = redacted("\n".join(parts))
    return [escaped(line) for line in text.split("\n")] if text else []


def _moment(record: logging.LogRecord) -> str:
    utc = datetime.fromtimestamp(record.created, timezone.utc)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"


def _is_terminal() -> bool:
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ
