"""Terminals that close, pipes nobody reads, state folders that cannot be used, outboxes lost."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import BrokerProcess, Listener, wait_until
from tests.support.small_disk import small_file_system
from tests.system.conftest import Station, results


def test_a_terminal_that_closes_stops_the_station_in_order(station: Station) -> None:
    process = station.start("--camera", "test://conveyor?fps=20", "--json")
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


def test_nobody_at_the_terminal_any_more_is_no_fault(station: Station) -> None:
    ours, theirs = pty.openpty()
    arguments = station.arguments("--camera", "test://conveyor?fps=20&parts=40")
    process = subprocess.Popen(arguments, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    assert os.read(ours, 10)  # it has begun to log
    os.close(ours)
    assert process.wait(30) == 0


@pytest.mark.slow
def test_nohup_outlives_the_terminal(station: Station) -> None:
    arguments = station.arguments("--camera", "test://conveyor?fps=20&parts=40", "--json")
    process = subprocess.Popen(
        ["nohup", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    rest, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert first
    assert len(results(rest)) > 10, "it goes on; a busy machine may miss frames of a live camera"


def test_a_station_with_a_broker_goes_on_when_nobody_reads_its_output(
    station: Station, broker: BrokerProcess
) -> None:
    listener = Listener(broker.port)
    process = station.start(
        "--json", "--max-frames", "60", "--mqtt", f"mqtt://127.0.0.1:{broker.port}"
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(30) == 0, errors
    process.stderr.close()
    wait_until(lambda: len(listener.of("result")) >= 60)
    listener.stop()
    assert "results are no longer printed" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    "closed",
    [*(pytest.param(c, marks=pytest.mark.slow) for c in ("<&-", ">&-", "2>&-")), "<&- >&- 2>&-"],
)
def test_closed_standard_streams_are_no_fault(station: Station, closed: str) -> None:
    arguments = station.arguments("--max-frames", "3", "--json")
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *arguments]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert len(results(done.stdout)) == (0 if ">&- " in f"{closed} ".replace("2>&-", "") else 3)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 64 kB, which only root can make."""
    yield from small_file_system("64k")


def start_once(station: Station, folder: Path) -> str:
    """Start with a state folder that cannot be used; return the one line of error."""
    station.state = folder
    done = station.run("--max-frames", "1", "--log-level", "error")
    assert done.returncode == 6, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    return line


@pytest.mark.parametrize(
    "left", [*(pytest.param(n, marks=pytest.mark.slow) for n in (0, 4096, 24_576)), 8192]
)
def test_a_full_disk_at_the_first_start_is_one_line(
    station: Station, small_disk: Path, left: int
) -> None:
    (small_disk / "state").mkdir()
    (small_disk / "filler").write_bytes(b"x" * (65_536 - left))
    line = start_once(station, small_disk / "state")
    assert "free" in line
    assert str(small_disk) in line


def test_a_read_only_disk_at_the_first_start_is_one_line(
    station: Station, small_disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert "Read-only file system" in start_once(station, small_disk)


def test_a_folder_of_somebody_else_is_one_line(station: Station, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "n1.s1.outbox.db").mkdir()
    assert "outbox" in start_once(station, folder)


def test_a_lost_outbox_is_told_on_state_and_as_an_alert(
    station: Station, broker: BrokerProcess
) -> None:
    listener = Listener(broker.port)
    options = ("--mqtt", f"mqtt://127.0.0.1:{broker.port}", "--max-frames", "9")
    assert station.run(*options).returncode == 0
    for file in station.state.glob("*.outbox.db"):
        file.unlink()
    assert station.run(*options).returncode == 0
    wait_until(lambda: len(listener.of("result")) >= 18)
    listener.stop()
    found = [json.loads(message.payload) for message in listener.of("result")]
    assert sorted(result["seq"] for result in found) == list(range(1, 19))
    assert len({result["outbox_id"] for result in found}) == 1
    alerts = [json.loads(message.payload) for message in listener.of("alert")]
    assert "outbox_break" in {alert["code"] for alert in alerts}
    told = [json.loads(message.payload)["outbox"] for message in listener.of("state")]
    assert any("the outbox was lost" in outbox["detail"] for outbox in told if outbox)
