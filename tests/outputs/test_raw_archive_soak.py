"""Thousands of frames through the raw archive: limits hold, memory stays flat."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.archive.layout import frames_between
from edge.archive.record import read_frame
from edge.outputs.sink import Decided
from tests.support.archives import Archive, part, station

FRAMES = 2000
LIMIT = 10 * 2**20
SIZE_HW = (240, 320)


def parts() -> Iterator[Decided]:
    """Noisy frames, no two of which are alike."""
    noise = np.random.default_rng(1).integers(0, 24, (*SIZE_HW, 3), np.uint8)
    for number in range(FRAMES):
        verdict = ("pass", "fail", "undecided", "error")[number % 4]
        yield part(number, verdict, pixels=np.roll(noise, number, axis=1) + np.uint8(number % 200))


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_two_thousand_frames_within_limits_and_flat_memory(tmp_path: Path) -> None:
    archive = Archive(
        station(tmp_path, raw=f"{{pass: all, max_bytes: {LIMIT}, min_free_bytes: 0}}")
    )
    archive.sink.start()
    sizes = []
    for number, decided in enumerate(parts()):
        while not archive.sink.wait_for_room(30):
            pass
        archive.sink.decided(decided)
        archive.sink.committed(archive.numbered(decided))
        if number % 250 == 249:
            assert size_of(tmp_path) < LIMIT + 2 * 2**20
            sizes.append(_resident_bytes())
    assert archive.sink.stop(60)
    assert archive.drops.total == 0
    assert size_of(tmp_path) <= LIMIT
    kept = list(frames_between(tmp_path))
    assert [read_frame(path).part.id for path in kept][-1] == f"p-{FRAMES - 1}"
    assert 20 < len(kept) < FRAMES / 4
    # All frames together are 440 MiB; the queue was full long before the second mark.
    grown = sizes[-1] - sizes[1]
    assert grown < 32 * 2**20, f"{grown / 2**20:.1f} MiB more after {FRAMES} frames"


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
