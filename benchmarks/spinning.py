"""What each way of waiting costs a frame (engine.spin): alone, with pauses, beside busy processes.

    python -m benchmarks.spinning demo/bundle

All engines are loaded at once and take turns of a few frames, so that a busy machine slows all of
them. Prints milliseconds of the engine alone, p50, and the CPU time of a frame.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np

from edge.bundle.store import Bundle, open_bundle
from edge.config.station import EngineSettings, Spin
from edge.engines.load import load_engine
from edge.engines.protocol import Engine
from edge.errors import EdgeError

TURN = 8
BUSY = "while True: pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    bundle = open_bundle(options.bundle)
    spins = get_args(Spin)
    print("| | " + " | ".join(spins) + " | " + " | ".join(f"{s}, CPU" for s in spins) + " |")
    print("|---" * (1 + 2 * len(spins)) + "|")
    with contextlib.ExitStack() as stack:
        engines = [
            stack.enter_context(load_engine(bundle, EngineSettings(spin=spin))) for spin in spins
        ]
        for title, pause_s, others in (
            ("one frame after another", 0, 0),
            ("with 10 ms between frames", 0.01, 0),
            ("beside one busy process", 0, 1),
            ("beside two", 0, 2),
        ):
            with busy(others):
                wall, cpu = measure(bundle, engines, options.rounds, pause_s)
            print(f"| {title} | " + " | ".join(f"{ms:.1f}" for ms in wall + cpu) + " |", flush=True)


def measure(
    bundle: Bundle, engines: list[Engine], rounds: int, pause_s: float
) -> tuple[list[float], list[float]]:
    """Median milliseconds of a frame, and mean ones of CPU, on each engine."""
    (spec,) = bundle.graph.inputs
    frame = np.random.default_rng(0).integers(0, 255, spec.shape, np.uint8)
    wall: list[list[float]] = [[] for _ in engines]
    cpu = [0.0] * len(engines)
    for turn in range(1 + rounds):  # the first one warms up
        for number, engine in enumerate(engines):
            for _ in range(TURN):
                time.sleep(pause_s)
                cpu_before, before = time.process_time(), time.perf_counter()
                engine.run({spec.name: frame})
                if turn:
                    wall[number].append(time.perf_counter() - before)
                    cpu[number] += time.process_time() - cpu_before
    return (
        [1e3 * statistics.median(times) for times in wall],
        [1e3 * spent / (rounds * TURN) for spent in cpu],
    )


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep so many processes busy while the context lasts."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        time.sleep(0.5 if others else 0)
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


if __name__ == "__main__":
    try:
        main()
    except EdgeError as error:
        raise SystemExit(f"error: {error}") from error
