"""Regions as the line finds them, against masks drawn by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edge.evaluation.region_metrics import Located, Overlap, overlap, region_metrics
from edge.inspection.regions import find_regions
from edge.result import Region

HEIGHT, WIDTH = 120, 160
Box = tuple[int, int, int, int]  # x, y, width, height


def mask(*boxes: Box) -> np.ndarray:
    drawn = np.zeros((HEIGHT, WIDTH), bool)
    for x, y, w, h in boxes:
        drawn[y : y + h, x : x + w] = True
    return drawn


def regions(*boxes: Box, step: int = 2) -> tuple[Region, ...]:
    """Find them on a map `step` times coarser than the frame, the first box strongest."""
    level = np.zeros((HEIGHT, WIDTH), np.float32)
    for strength, (x, y, w, h) in enumerate(reversed(boxes)):
        level[y : y + h, x : x + w] = 2 + strength
    return find_regions(level[::step, ::step], 1.0, (WIDTH, HEIGHT))


def test_a_region_hits_what_it_overlaps_by_a_tenth() -> None:
    defect = mask((40, 40, 20, 20))
    assert overlap(regions((40, 40, 20, 20)), defect) == Overlap((True,), 1, 1)
    # 12 x 12 of 400 + 576 - 144 pixels, with its centre outside.
    assert overlap(regions((48, 48, 24, 24)), defect).hits == (True,)
    # 6 x 6 of 400 + 400 - 36 pixels.
    assert overlap(regions((54, 54, 20, 20)), defect) == Overlap((False,), 0, 1)
    # Small beside a large one: a third of the region, but hardly anything of the defect.
    assert overlap(regions((50, 110, 12, 6)), mask((10, 10, 100, 102))).hits == (False,)


def test_a_small_region_inside_a_large_defect_hits_by_its_centre() -> None:
    assert overlap(regions((30, 30, 4, 4)), mask((10, 10, 100, 80))).hits == (True,)


def test_a_region_over_everything_finds_nothing() -> None:
    whole = regions((0, 0, WIDTH, HEIGHT))
    assert overlap(whole, mask((20, 20, 8, 8), (100, 60, 8, 8))) == Overlap((False,), 0, 2)


def test_defects_are_counted_once_and_touching_corners_are_one() -> None:
    defect = mask((20, 20, 40, 10), (60, 30, 40, 10))  # meet at a corner
    assert overlap(regions((20, 20, 16, 10), (80, 30, 16, 10)), defect) == Overlap(
        (True,) * 2, 1, 1
    )
    apart = mask((20, 20, 30, 20), (60, 20, 30, 20))
    assert overlap(regions((20, 20, 70, 20)), apart) == Overlap((True,), 2, 2)


def test_thin_regions_and_borders_are_no_trouble() -> None:
    corner = mask((WIDTH - 2, HEIGHT - 2, 2, 2))
    assert overlap(regions((WIDTH - 1, HEIGHT - 1, 1, 1), step=1), corner).hits == (True,)
    speck = regions((30, 30, 1, 1), step=1)
    assert len(speck[0].polygon_xy) < 3
    assert overlap(speck, mask((30, 30, 2, 2))).hits == (True,)
    assert overlap(speck, mask()) == Overlap((False,), 0, 0)


def part(label: str, found: tuple[Region, ...], match: Overlap | None) -> Located:
    return Located(label, label == "good", found, match)


def test_a_test_set_by_hand() -> None:
    two = tuple(replace(r, type=t) for r, t in zip(regions((0, 0, 8, 8), (40, 40, 8, 8)), "ab"))
    result = region_metrics(
        [
            part("good", (), None),
            part("good", two, None),
            part("good", (), None),
            part("a", two, Overlap((True, False), 1, 3)),
            part("b", two, Overlap((True, True), 2, 2)),
            part("b", (), Overlap((), 0, 1)),  # passed
            part("b", two, None),  # no mask: neither found nor missed
        ]
    )
    assert result.recall == pytest.approx(3 / 6)
    assert result.false_alarms_good == pytest.approx(2 / 3)
    assert result.false_alarms_defective == pytest.approx(1 / 3)
    # a hit as a, and of the two hits on b one as a, one as b.
    assert result.type_accuracy == pytest.approx(2 / 3)


def test_what_does_not_exist_is_nan() -> None:
    result = region_metrics([part("a", regions((0, 0, 8, 8)), None)])
    assert all(
        math.isnan(value)
        for value in (
            result.recall,
            result.false_alarms_good,
            result.false_alarms_defective,
            result.type_accuracy,
        )
    )
