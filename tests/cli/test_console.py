"""Commands end with one line and the right code, and keep standard output for their result."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = r"""
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
    if what == "hostile":
        raise errors.ConfigError("got rtsp://u:geheim@host/x\x1b[2J", "a\nerror: forged\u202e")
    if what == "hostile-defect":
        raise ValueError("http://u:geheim@host\n\x1b]0;title\x07")
    if what == "hostile-log":
        log.warning("camera %s lost", "top\n2026-11-29T10:00:00.000Z INFO    forged\x9b31m")
        log.warning("broker mqtt://edge:geheim@host says %r", "\u202e\u200b")
        logging.getLogger("other\nname").warning("100 % \r sure")
        logging.getLogger("wrong").warning("%d", "no number\n")
        try:
            raise ValueError("rtsp://u:geheim@host\n2026-11-29T10:00:00.000Z INFO    forged")
        except ValueError:
            log.exception("ended")
    if what == "hostile-thread":
        import threading
        def work():
            raise ValueError("rtsp://u:geheim@host\nforged")
        thread = threading.Thread(target=work, name="t")
        thread.start()
        thread.join()
    if what == "hostile-table":
        from rich.markup import escape
        from rich.table import Table
        name = "a\x1b[2J\u202eb\x07 [red]rtsp://u:geheim@host"
        table = Table("name", title=escape(name))
        table.add_row(escape(name))
        console.rich_console().print(table)
        console.say(name)
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


INVISIBLE = ("\x1b", "\x9b", "\x07", "\r", "\u202e", "\u200b")


@pytest.mark.parametrize(
    "arguments",
    [
        ("hostile",),
        ("hostile-defect",),
        ("hostile-log",),
        ("hostile-log", "--json-logs"),
        ("hostile-thread",),
        ("hostile-table",),
        ("x", "rtsp://u:geheim@host/x"),
        ("x", "my", "geheim@host/x"),
        ("x", "--geheim@host"),
        ("x", "--level", "rtsp://u:geheim@host\x1b[2J"),
    ],
)
def test_nothing_that_a_command_prints_holds_a_password_or_steers_a_terminal(arguments):
    done = run(*arguments)
    said = done.stdout + done.stderr
    assert said
    assert "geheim" not in said
    assert not [character for character in INVISIBLE if character in said]


def test_no_text_from_outside_makes_a_line_of_its_own():
    assert run("hostile").stderr.splitlines() == [
        r"error: got rtsp://***@host/x\x1b[2J",
        r"error: a\nerror: forged\u202e",
    ]
    lines = run("hostile-log").stderr.splitlines()
    assert [line[:2] for line in lines if not line.startswith("    ")] == ["20"] * 5
    assert sum("forged" in line for line in lines if not line.startswith("    ")) == 1
    for line in run("hostile-log", "--json-logs").stderr.splitlines():
        assert json.loads(line)["ts"].endswith("Z")


def test_a_usage_error_is_one_line_that_points_to_the_help():
    done = run("nothing", "--level", "loud")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: Invalid value: expected one of debug, info")
    assert done.stderr.endswith("--help)\n")
    assert done.stdout == ""
