"""Feeds inputs to a door in a process of its own and reports crashes, hangs and hunger for memory.

A worker notes each input in a shared file before it goes in, so that one that kills the process is
known. An input that takes longer than `HANG_S` of processor time is a finding; so is
any error that is no refusal.
"""

from __future__ import annotations

import logging
import mmap
import multiprocessing
import resource
import signal
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from edge.printable_text import escaped_lines
from tests.fuzz.doors import Door, make_door
from tests.fuzz.mutation import MAX_BYTES, Mutator

# Seconds of processor time, so that a busy machine finds no hangs that are none.
HANG_S = 2.0
# A worker that takes so long for one input waits for something, or is stuck in native code.
STUCK_S = 30.0
# What one input may take at most beside what the process holds already.
MEMORY_BYTES = 1 << 30
MAX_FINDINGS = 20


class Hang(BaseException):
    """An input took too long. No reader may catch it."""


@dataclass
class Finding:
    """An input that found a fault."""

    door: str
    what: str
    data: bytes


@dataclass
class Report:
    """What one door took."""

    door: str
    inputs: int = 0
    refused: int = 0
    longest_s: float = 0.0
    grown_bytes: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)


def run(name: str, inputs: int, seed: int) -> Report:
    """Feed `inputs` changed inputs to a door in a process of its own.

    A worker that dies is replaced, up to `MAX_FINDINGS` times.
    """
    total, start = Report(name), time.monotonic()
    context = multiprocessing.get_context("spawn")
    while total.inputs < inputs and len(total.findings) < MAX_FINDINGS:
        with tempfile.NamedTemporaryFile(prefix="edge-fuzz-") as note:
            note.truncate(MAX_BYTES + 16)
            receiver, sender = context.Pipe(duplex=False)
            args = (name, inputs - total.inputs, seed + total.inputs, note.name, sender)
            worker = context.Process(target=_work, args=args, daemon=True)
            worker.start()
            sender.close()
            report = _follow(worker, receiver, Path(note.name), name)
        total.inputs += report.inputs
        total.refused += report.refused
        total.longest_s = max(total.longest_s, report.longest_s)
        total.grown_bytes = max(total.grown_bytes, report.grown_bytes)
        total.findings += report.findings
    total.seconds = time.monotonic() - start
    return total


def _follow(worker, receiver, note: Path, name: str) -> Report:
    """Wait for a worker; make its report when it cannot."""
    last, since = -1, time.monotonic()
    while not receiver.poll(0.1):
        count, data = _noted(note)
        if count != last:
            last, since = count, time.monotonic()
        is_stuck = count > 0 and time.monotonic() - since > STUCK_S
        if is_stuck or not worker.is_alive():
            if receiver.poll(0):
                break
            worker.kill()
            worker.join()
            what = "stuck" if is_stuck else f"process died with {worker.exitcode}"
            return Report(name, inputs=max(1, count), findings=[Finding(name, what, data)])
    try:
        report = receiver.recv()
    except EOFError:
        count, data = _noted(note)
        worker.join()
        what = f"process died with {worker.exitcode}"
        return Report(name, inputs=max(1, count), findings=[Finding(name, what, data)])
    worker.join()
    return report


def _noted(note: Path) -> tuple[int, bytes]:
    raw = note.read_bytes()
    size = int.from_bytes(raw[8:16], "little")
    return int.from_bytes(raw[:8], "little"), raw[16 : 16 + size]


def _work(name: str, inputs: int, seed: int, note: str, sender) -> None:
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGPROF, _hang)
    door = make_door(name)
    report = Report(name)
    mutator = Mutator(door.seeds, door.words, seed)
    for data in door.seeds:
        _feed(door, data, report)  # what a first call imports is not an input's hunger
    held = _address_space()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY_BYTES, resource.RLIM_INFINITY))
    before = _resident()
    try:
        with Path(note).open("r+b") as file, mmap.mmap(file.fileno(), MAX_BYTES + 16) as shared:
            while report.inputs < inputs and len(report.findings) < MAX_FINDINGS:
                data = mutator.next()
                shared[8 : 16 + len(data)] = len(data).to_bytes(8, "little") + data
                shared[:8] = (report.inputs + 1).to_bytes(8, "little")
                _feed(door, data, report)
    finally:
        door.close()
    report.grown_bytes = max(0, _resident() - before)
    sender.send(report)


def _feed(door: Door, data: bytes, report: Report) -> None:
    report.inputs += 1
    start = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, HANG_S)
    try:
        door.open(data)
    except door.refusals as error:
        report.refused += 1
        _check_message(error, data, report)
    except (Hang, Exception):  # noqa: BLE001 - this is what a campaign looks for
        frames = traceback.format_exc().strip().splitlines()
        report.findings.append(Finding(report.door, " | ".join(frames[-3:])[:500], data))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    report.longest_s = max(report.longest_s, time.process_time() - start)


def _check_message(error: Exception, data: bytes, report: Report) -> None:
    """A refusal says something, and nothing in it moves a terminal's cursor or direction."""
    text = str(error)
    if not text.strip() or text != escaped_lines(text):
        what = f"message of {type(error).__name__}: {text!r}"
        report.findings.append(Finding(report.door, what[:500], data))


def _hang(_number: int, _frame: FrameType | None) -> None:
    raise Hang(f"longer than {HANG_S:g} s")


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
