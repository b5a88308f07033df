"""Thresholds that count parts: rates, odd parts, parts to leave out, operating points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.errors import ThresholdError
from edge.toolchain.packing.odd_parts import odd_parts
from edge.toolchain.packing.operating_points import more_parts, operating_points
from edge.toolchain.packing.thresholds import (
    calibrated_threshold,
    fit_threshold,
    parts_over,
    threshold_below,
    usual_alpha,
)
from edge.training.run_folder import Calibration

CROSS = "cross-conformal"


def calibration(parts: int, pictures: int, *, odd: float = 0.0, seed: int = 0) -> Calibration:
    """Scores of `parts` with as many `pictures` each; `odd` raises those of the last part."""
    rng = np.random.default_rng(seed)
    levels = np.repeat(rng.normal(0.45, 0.04, parts), pictures)
    scores = levels + rng.normal(0, 0.02, parts * pictures)
    scores[-pictures:] += odd
    names = tuple(f"{i:04d}.png" for i in range(parts * pictures))
    groups = tuple(f"board-{i // pictures}" for i in range(parts * pictures))
    synthetic = tuple(("scar", float(score)) for score in rng.normal(0.7, 0.15, 200))
    return Calibration(names, groups, tuple(scores.tolist()), method=CROSS, synthetic=synthetic)


def test_one_odd_part_does_not_set_the_threshold() -> None:
    plain = calibrated_threshold(calibration(48, 5))
    held_up = calibrated_threshold(calibration(48, 5, odd=0.5))
    assert (plain.alpha, plain.groups, plain.n) == (pytest.approx(2 / 49), 48, 240)
    # The odd part takes the place of one that may be rejected, and no more.
    assert plain.value <= held_up.value < 0.6
    assert calibrated_threshold(calibration(48, 5, odd=0.5), 1 / 49).value > 0.8


def test_the_default_rate_follows_the_parts() -> None:
    assert usual_alpha(500, CROSS) == 0.01
    assert usual_alpha(99, CROSS) == 0.02
    assert usual_alpha(31, CROSS) == 2 / 32
    assert usual_alpha(14, CROSS) == 1 / 15, "two shares would be more than 10 %"
    assert usual_alpha(99) == 0.01
    with pytest.raises(ThresholdError, match=r"--alpha 0.01: 48 held-out .* at least 99"):
        calibrated_threshold(calibration(48, 5), 0.01)


def test_an_odd_part_is_named_with_its_effect() -> None:
    found = calibration(48, 5, odd=0.5)
    threshold = calibrated_threshold(found, 1 / 49)
    odd = odd_parts(found, threshold)
    assert odd is not None
    assert odd.parts[0].name == "board-47"
    assert odd.parts[0].pictures == 5
    assert odd.usual < 0.6 < odd.parts[0].median
    without = calibrated_threshold(found, left_out=["board-47"])
    assert without.left_out == ("board-47",)
    assert (without.n, without.groups) == (235, 47)
    assert odd.threshold < 0.6 < threshold.value
    assert odd.recall > odd.recall_before + 0.3


def test_an_odd_part_that_decides_nothing_is_not_named() -> None:
    found = calibration(48, 5, odd=0.5)
    assert odd_parts(found, calibrated_threshold(found, 0.3)) is None or (
        calibrated_threshold(found, 0.3).value
        > calibrated_threshold(found, 0.3, ["board-47"]).value
    )
    plain = calibration(48, 5)
    assert odd_parts(plain, calibrated_threshold(plain)) is None


def test_odd_parts_that_are_left_out_are_not_named_again() -> None:
    found = calibration(48, 5, odd=0.5)
    assert odd_parts(found, calibrated_threshold(found, left_out=["board-47"])) is None


def test_parts_to_leave_out_must_be_there() -> None:
    found = calibration(3, 2)
    with pytest.raises(ThresholdError, match="--leave-out board-9: expected one of the 3 parts"):
        calibrated_threshold(found, left_out=["board-9"])
    with pytest.raises(ThresholdError, match="--leave-out: expected some parts to be left"):
        calibrated_threshold(found, left_out=["board-0", "board-1", "board-2"])


def test_operating_points_tell_recall_and_support() -> None:
    found = calibration(60, 4)
    threshold = calibrated_threshold(found)
    points = operating_points(found, threshold)
    rates = [point.alpha for point in points.points]
    assert rates == sorted({0.005, 0.01, 0.02, 0.05, 0.1, threshold.alpha})
    assert [point.threshold is None for point in points.points[:2]] == [True, True]
    recalls = [p.recall_synthetic for p in points.points if p.threshold is not None]
    assert recalls == sorted(recalls)
    assert 0 < recalls[0] < recalls[-1] <= 1
    assert points.synthetic == 200
    assert {p.recall_labelled for p in points.points} == {None}
    shipped = next(p for p in points.points if p.alpha == threshold.alpha)
    assert (shipped.threshold, shipped.bound95) == (threshold.value, threshold.bound95)


def test_labelled_defects_choose_the_suggested_rate() -> None:
    found = calibration(200, 2)
    level = fit_threshold(found.scores, found.groups, 0.05, CROSS).value
    weak = tuple(("scratch", level + 1e-6) for _ in range(50))  # found from 5 % on
    points = operating_points(replace(found, labelled=weak), calibrated_threshold(found))
    assert points.suggested == 0.05
    strong = replace(found, labelled=(("scratch", 9.0),) * 9)
    assert operating_points(strong, calibrated_threshold(found)).suggested == 0.005
    nothing = replace(found, synthetic=())
    assert operating_points(nothing, calibrated_threshold(found)).suggested is None


def test_more_parts_support_lower_rates_with_less_doubt() -> None:
    rows = more_parts(48)
    assert [row.parts for row in rows] == [48, 49, 99, 199]
    assert [row.alpha for row in rows] == pytest.approx([1 / 49, 1 / 50, 0.01, 0.01])
    assert rows[2].bound95 == pytest.approx(0.030, abs=6e-4)
    assert [row.bound95 for row in rows] == sorted((row.bound95 for row in rows), reverse=True)


def test_cross_fitted_scores_keep_the_rate_by_simulation() -> None:
    """Scores by models of all but a share of the parts; the final one learned from all of them.

    A part is rejected by its distance to a mean that the models learn: in-sample distances are too
    short, those of a share that was left out are not.
    """
    rng = np.random.default_rng(0)
    parts, pictures, dims, alpha = 40, 3, 8, 0.1
    rates = []
    for _ in range(200):
        levels = rng.normal(size=(parts, dims))
        shown = levels[:, None] + 0.3 * rng.normal(size=(parts, pictures, dims))
        scores = np.empty((parts, pictures))
        for fold in range(4):
            own = np.arange(parts) % 4 == fold
            centre = shown[~own].mean((0, 1))
            scores[own] = np.linalg.norm(shown[own] - centre, axis=2)
        groups = np.repeat(np.arange(parts), pictures).tolist()
        value = fit_threshold(scores.ravel().tolist(), groups, alpha, CROSS).value
        fresh = rng.normal(size=(2000, dims)) + 0.3 * rng.normal(size=(2000, dims))
        final = np.linalg.norm(fresh - shown.mean((0, 1)), axis=1)
        rates.append(float(np.mean(final > value)))
    bound = fit_threshold(scores.ravel().tolist(), groups, alpha, CROSS).bound95
    assert 0.06 < np.mean(rates) <= 0.104
    assert np.mean(np.array(rates) <= bound) >= 0.93


def test_a_lower_threshold_states_a_higher_rate() -> None:
    few = calibration(4, 1, odd=0.5)
    highest = sorted(few.scores, reverse=True)
    for over, score in enumerate(highest):
        found = threshold_below(score + 1e-6, few)
        assert found is not None
        assert (found.value, found.alpha) == (score, pytest.approx((over + 1) / 5))
        assert len(parts_over(few, found)) == over
    assert threshold_below(highest[-1], few) is None


def test_parts_over_the_threshold_are_named_with_their_highest_score() -> None:
    found = calibration(48, 5, odd=0.5)
    usual = calibrated_threshold(found)
    assert parts_over(found, usual)[0] == ("board-47", max(found.scores))
    without = calibrated_threshold(found, left_out=["board-47"])
    assert "board-47" not in dict(parts_over(found, without)), "it does not count"
