"""Commands end with one line and the right code, and keep standard output for their result."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys, time, typer
from edge.cli import console
from edge import errors
app = console.make_app()

@app.command()
def command(what: str, json_logs: bool = False, level: str = "info") -> None:
    '''Do what it says.'''
    console.setup_logging(level, as_json=json_logs)
    log = logging.getLogger("edge.thing")
    if hasattr(errors, what):
        raise getattr(errors, what)("expected a bundle, found a stone; pick another")
    if what == "two-problems":
        raise errors.ConfigError("first", "second")
    if what == "interrupt":
        raise KeyboardInterrupt
    if what == "defect":
        1 / 0
    if what == "file":
        open("/no/such/folder/x", "w")
    if what == "no-file":
        raise OSError("of a library, about no file")
    if what == "exit":
        raise typer.Exit(7)
    if what == "log":
        log.info("frame refused reason=%s", "overrun")
        log.debug("hidden")
    if what == "log-defect":
        try:
            1 / 0
        except ZeroDivisionError:
            log.exception("thread ended")
    if what == "progress":
        with console.progress("embedding", 3) as step:
            for _ in range(3):
                step(1)
        print("result")
    if what == "flood":
        for i in range(100_000):
            print(i)
console.run(app)
"""


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, "COLUMNS": "100"},
        **options,
    )


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ConfigError", 2),
        ("BundleCorrupt", 3),
        ("EngineLoadError", 4),
        ("CameraTimeout", 5),
        ("PublishError", 6),
        ("ParityError", 10),
    ],
)
def test_an_error_of_ours_is_one_line_and_its_code(name, code):
    done = run(name)
    assert done.returncode == code
    assert done.stderr == "error: expected a bundle, found a stone; pick another\n"
    assert done.stdout == ""


def test_every_problem_of_a_configuration_has_its_line():
    done = run("two-problems")
    assert done.stderr == "error: first\nerror: second\n"


def test_a_defect_keeps_its_plain_traceback():
    done = run("defect")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_a_file_that_cannot_be_used_is_one_line_about_it():
    done = run("file")
    assert done.returncode == 8
    assert done.stderr == (
        "error: /no/such/folder/x: No such file or directory; check the path, its owner and the "
        "free space of the disk\n"
    )
    assert run("no-file").stderr.startswith("Traceback")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("nothing",), 0), (("exit",), 7), (("interrupt",), 130), ((), 2), (("x", "--no-such"), 2)],
)
def test_codes_without_an_error_of_ours(arguments, code):
    done = run(*arguments)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_wrong_level_is_a_usage_error():
    done = run("nothing", "--level", "loud")
    assert done.returncode == 2
    assert "debug, info, warning, error" in done.stderr


def test_a_reader_that_leaves_is_no_error():
    shell = f'{sys.executable} -c "$PROGRAM" flood | head -n 2'
    done = subprocess.run(
        ["bash", "-c", shell],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, "PROGRAM": PROGRAM},
    )
    assert done.stdout == "0\n1\n"
    assert done.stderr == ""


def test_log_lines_are_plain_text_on_stderr():
    done = run("log")
    assert done.stdout == ""
    stamp, line = done.stderr.split(" ", 1)
    assert stamp.endswith("Z")
    assert line == "INFO    thing: frame refused reason=overrun\n"


def test_log_lines_can_be_json():
    entry = json.loads(run("log", "--json-logs").stderr)
    assert entry["event"] == "frame refused reason=overrun"
    assert (entry["level"], entry["logger"]) == ("info", "edge.thing")
    entry = json.loads(run("log-defect", "--json-logs").stderr)
    assert "ZeroDivisionError" in entry["traceback"]


def test_progress_without_a_terminal_is_one_line_and_leaves_stdout_alone():
    done = run("progress")
    assert done.stdout == "result\n"
    assert done.stderr == "embedding 3/3\n"
