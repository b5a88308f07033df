"""edge-build says what the threshold rests on, and what other rates would find."""

from __future__ import annotations

import pytest

from edge.bundle.operating_points import (
    OPERATING_POINTS_SCHEMA,
    MoreParts,
    OperatingPoint,
    OperatingPoints,
)
from edge.cli.build_report import print_odd_parts, print_operating_points, print_other_shifts
from edge.toolchain.packing.odd_parts import OddPart, WithoutOdd


def test_odd_parts_are_named_with_the_option_that_leaves_them_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts = (OddPart("board-17", 0.65, 5), OddPart("board [3]", 0.61, 4))
    print_odd_parts(WithoutOdd(parts, 0.57, 0.6, 0.17, 0.84), 0.9)
    said = capsys.readouterr().out
    assert "odd parts: board-17 (median 0.65 of 5), board [3] (median 0.61 of 4)" in said
    assert "the threshold would be 0.60 instead of 0.90" in said
    assert "84% of the synthetic defects would be found instead of 17%" in said
    assert "--leave-out board-17 --leave-out board [3]" in said


def test_rates_that_parts_cannot_support_are_shown_as_such(
    capsys: pytest.CaptureFixture[str],
) -> None:
    points = OperatingPoints(
        schema=OPERATING_POINTS_SCHEMA,
        points=(
            OperatingPoint(alpha=0.01),
            OperatingPoint(alpha=0.04, threshold=0.7, bound95=0.12, recall_synthetic=0.5),
        ),
        synthetic=200,
        labelled=0,
        suggested=0.04,
        more_parts=(
            MoreParts(parts=48, alpha=0.0204, bound95=0.06),
            MoreParts(parts=99, alpha=0.01, bound95=0.03),
        ),
    )
    print_operating_points(points, 0.04)
    said = " ".join(capsys.readouterr().out.split())
    assert "1.0% │ too few parts" in said
    assert "4.0% * │ 12.0% │ 0.7000 │ 50.0%" in said
    assert "suggested: --alpha 0.04, by 200 synthetic defects" in said
    assert "48 good parts support 2.0% (at most 6.0%); 99 parts support 1.0% (at most 3.0%)" in said
    assert "labelled" not in said


@pytest.mark.parametrize("augmented", [False, True])
def test_light_and_places_that_cost_too_much_are_told_before_the_line_meets_them(
    capsys: pytest.CaptureFixture[str], *, augmented: bool
) -> None:
    print_other_shifts("18 of 24 good pictures turned by 2 degrees", 0.04, augmented=augmented)
    said = capsys.readouterr().out
    assert "18 of 24 good pictures turned by 2 degrees would be rejected, where 4.0% is" in said
    assert ("--augment" in said) is not augmented
