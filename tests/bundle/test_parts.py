"""Calibration scores that count by parts: rank, p-value, bound, and documents that must agree."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge.bundle.conformal import (
    bound_of_parts,
    p_value,
    parts_above,
    rank,
    rank_of_parts,
)
from edge.bundle.store import open_bundle
from edge.errors import BundleCorrupt
from edge.inspection.decision import decide
from tests.support.bundles import DEMO_BUNDLE, sign

PICTURES = (1, 2, 6, 20)


def drawn(rng: np.random.Generator, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and parts: a part's level varies, and parts have few or many pictures."""
    counts = rng.choice(PICTURES, parts)
    levels = rng.gumbel(size=parts) * (1 + (counts == 1))
    numbers = np.repeat(np.arange(parts), counts)
    scores = levels[numbers] + 0.5 * rng.gumbel(size=len(numbers))
    order = np.argsort(scores)
    return scores[order], numbers[order]


def rates_by_part(scores: np.ndarray, parts: np.ndarray, threshold: float) -> float:
    """Mean over parts of the share of their pictures above the threshold."""
    above = np.bincount(parts, scores > threshold) / np.bincount(parts)
    return float(above.mean())


def test_without_repeated_parts_the_rank_is_that_of_scores() -> None:
    for n in (5, 19, 99, 250):
        for alpha in (1 / (n + 1), 0.2, 0.31, 0.5):
            assert rank_of_parts(range(n), alpha) == rank(n, alpha)


def test_one_odd_part_has_the_weight_of_one_part() -> None:
    parts = [*range(49), *[99] * 30]  # the highest 30 scores show one part
    assert rank_of_parts(parts, 2 / 51) == 49
    assert rank_of_parts(parts, 1 / 51) == 79
    with pytest.raises(ValueError, match=r"50 parts support rates from 0.01961, not 0.019"):
        rank_of_parts(parts, 0.019)


def test_the_stated_rate_and_bound_hold_for_fresh_parts_in_simulation() -> None:
    rng = np.random.default_rng(0)
    parts, alpha = 40, 0.1
    fresh = drawn(rng, 4000)
    rates = []
    for _ in range(300):
        scores, numbers = drawn(rng, parts)
        rates.append(rates_by_part(*fresh, scores[rank_of_parts(list(numbers), alpha) - 1]))
    assert 0.6 * alpha < np.mean(rates) <= 1.06 * alpha
    assert np.mean(np.array(rates) <= bound_of_parts(parts, alpha)) >= 0.94


def test_counting_pictures_breaks_the_rate_that_counting_parts_keeps() -> None:
    """Parts with one picture have wider scores here: pictures of the others outnumber them."""
    rng = np.random.default_rng(1)
    fresh = drawn(rng, 4000)
    by_picture, by_part = [], []
    for _ in range(300):
        scores, numbers = drawn(rng, 60)
        by_picture.append(rates_by_part(*fresh, scores[rank(len(scores), 0.05) - 1]))
        by_part.append(rates_by_part(*fresh, scores[rank_of_parts(list(numbers), 0.05) - 1]))
    assert np.mean(by_part) <= 0.053
    assert np.mean(by_picture) > np.mean(by_part)


def test_p_values_agree_with_the_threshold_of_parts() -> None:
    scores, numbers = drawn(np.random.default_rng(2), 60)
    above = parts_above(list(numbers))
    assert above[0] == pytest.approx(60)
    threshold = scores[rank_of_parts(list(numbers), 0.1) - 1]
    assert p_value(scores, threshold + 1e-9, above) <= 0.1
    assert p_value(scores, threshold, above) > 0.1
    assert p_value(scores, scores[-1] + 1, above) == pytest.approx(1 / 61)
    assert p_value(scores, scores[0], above) == pytest.approx(1)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The demo's bundle, whose 48 scores come from 12 parts that are known."""
    folder = Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "bundle"))
    path = folder / "calibration" / "scores.json"
    scores = json.loads(path.read_text())["scores"]
    path.write_text(json.dumps({"scores": scores, "parts": [i // 4 for i in range(48)]}))
    change(folder, method="cross-conformal", alpha=1 / 13, bound95=bound_of_parts(12, 1 / 13))
    return folder


def change(folder: Path, **values: object) -> None:
    path = folder / "thresholds.json"
    data = json.loads(path.read_text())
    data["score"] |= values
    path.write_text(json.dumps(data))


def test_a_bundle_counts_its_parts(bundle: Path) -> None:
    found = open_bundle(sign(bundle))
    assert found.above[0] == pytest.approx(12)
    assert decide(found, found.scores[-1] + 1).p_value == pytest.approx(1 / 13)
    assert decide(found, found.scores[-3]).p_value == pytest.approx((1 + 3 / 4) / 13)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"groups": 11}, "groups: expected 12"),
        ({"method": "split-conformal"}, "method: split-conformal does not go with"),
        ({"rank": 47}, "rank: expected 48"),
        ({"alpha": 0.05}, "12 parts support rates from 0.07692"),
        ({"method": "other"}, "score.method"),
    ],
)
def test_numbers_of_parts_must_agree(bundle: Path, values: dict, named: str) -> None:
    change(bundle, **values)
    sign(bundle)
    with pytest.raises(BundleCorrupt, match=named):
        open_bundle(bundle)


@pytest.mark.parametrize("parts", [[0] * 47, [-1] * 48, ["a"] * 48, [0.5] * 48])
def test_parts_that_do_not_go_with_the_scores(bundle: Path, parts: list) -> None:
    path = bundle / "calibration" / "scores.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "parts": parts}))
    sign(bundle)
    with pytest.raises(BundleCorrupt, match=r"scores\.json"):
        open_bundle(bundle)


def test_scores_without_parts_are_not_cross_conformal(bundle: Path) -> None:
    path = bundle / "calibration" / "scores.json"
    path.write_text(json.dumps({"scores": json.loads(path.read_text())["scores"]}))
    sign(bundle)
    with pytest.raises(BundleCorrupt, match="cross-conformal does not go with scores without"):
        open_bundle(bundle)
