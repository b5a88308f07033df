"""Clopper-Pearson against published values."""

from __future__ import annotations

import pytest

from edge.evaluation.intervals import clopper_pearson


@pytest.mark.parametrize(
    ("count", "total", "expected"),
    [
        (0, 10, (0.0, 0.30850)),  # 1 - 0.025 ** (1 / 10)
        (10, 10, (0.69150, 1.0)),
        (1, 20, (0.00127, 0.24873)),
        (5, 10, (0.18709, 0.81291)),
        (0, 2000, (0.0, 0.00184)),
    ],
)
def test_interval_is_the_published_one(
    count: int, total: int, expected: tuple[float, float]
) -> None:
    assert clopper_pearson(count, total) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("count", "total"), [(0, 0), (3, 2), (-1, 2)])
def test_counts_that_cannot_be_are_refused(count: int, total: int) -> None:
    with pytest.raises(ValueError, match="expected a count"):
        clopper_pearson(count, total)
