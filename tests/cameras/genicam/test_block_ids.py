"""Block ids of a camera -> frame ids with a gap for each missing block."""

from __future__ import annotations

import pytest

from edge.cameras.genicam.block_ids import BlockIds


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([1, 2, 3], [0, 1, 2]),
        ([40, 41, 45], [0, 1, 5]),
        ([65534, 65535, 1, 2], [0, 1, 2, 3]),
        ([65534, 2, 3], [0, 3, 4]),
        ([65535, 65536, 65537], [0, 1, 2]),
        ([2**40, 2**40 + 2], [0, 2]),
        ([500, 1, 2], [0, 1, 2]),
        ([2**40, 1, 2], [0, 1, 2]),
        ([7, 7, 8], [0, 1, 2]),
        ([None, None], [0, 1]),
        ([3, None, 4], [0, 1, 2]),
        ([3, None, 5, 6], [0, 1, 2, 3]),
        ([3, None, 7], [0, 1, 4]),
        ([65535, None, 2], [0, 1, 2]),
    ],
)
def test_missing_blocks_leave_a_gap(blocks: list[int | None], expected: list[int]) -> None:
    ids = BlockIds()
    assert [ids.frame_id(block) for block in blocks] == expected
