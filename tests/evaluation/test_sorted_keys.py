"""Keys come back in order, whatever their number, and a few runs' worth of them are in memory."""

from __future__ import annotations

import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from edge.errors import WriteError
from edge.evaluation import sorted_keys
from edge.evaluation.sorted_keys import SortedKeys


@pytest.fixture
def keys() -> Iterator[SortedKeys]:
    with closing(SortedKeys()) as made:
        yield made


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of 1000 keys, merged 500 at a time."""
    monkeypatch.setattr(sorted_keys, "RUN_KEYS", 1000)
    monkeypatch.setattr(sorted_keys, "MERGE_KEYS", 500)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("highest", [1, 50, 2**64 - 1])
@pytest.mark.parametrize("total", [0, 1, 999, 1000, 1001, 12_345])
def test_they_come_back_in_order(keys: SortedKeys, total: int, highest: int) -> None:
    """Few in memory, many from the disk, nearly all the same, and all that 64 bits hold."""
    rng = np.random.default_rng(total)
    given = rng.integers(0, highest, total, np.uint64, endpoint=True)
    for piece in np.split(given, [total // 7, total // 3]):
        for start in range(0, len(piece), 300):
            keys.add(piece[start : start + 300])
    for _ in range(2):
        blocks = list(keys.blocks())
        assert max((len(block) for block in blocks), default=0) <= 500
        found = np.concatenate([np.zeros(0, np.uint64), *blocks])
        assert np.array_equal(found, np.sort(given))


@pytest.mark.usefixtures("small")
def test_more_can_be_added_after_a_reading(keys: SortedKeys) -> None:
    given = np.arange(2500, dtype=np.uint64)[::-1]
    for piece in np.split(given, [100, 1700]):
        keys.add(piece)
        list(keys.blocks())
    assert np.array_equal(np.concatenate(list(keys.blocks())), given[::-1])


def test_memory_does_not_grow_with_their_number(
    keys: SortedKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorted_keys, "RUN_KEYS", 1 << 14)
    monkeypatch.setattr(sorted_keys, "MERGE_KEYS", 1 << 14)
    rng = np.random.default_rng(0)

    def peak() -> int:
        tracemalloc.reset_peak()
        for _ in range(25):
            keys.add(rng.integers(0, 2**63, 1 << 12, np.uint64))
        assert sum(len(block) for block in keys.blocks()) > 0
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        few, many = peak(), max(peak() for _ in range(3))
    finally:
        tracemalloc.stop()
    # 75 more pieces of 32 KiB have come.
    assert many - few < 4 * 32 * 1024


@pytest.mark.usefixtures("small")
def test_a_full_disk_is_told_in_one_line(keys: SortedKeys) -> None:
    """A limit on the size of files stands for the disk: the system refuses the same call."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, limits[1]))
    try:
        keys.add(np.zeros(1000, np.uint64))
        with pytest.raises(WriteError, match=r"cannot be written: File too large \(TMPDIR") as told:
            keys.add(np.zeros(1000, np.uint64))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(told.value)
