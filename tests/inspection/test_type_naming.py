"""From type logits to a region's type, by either rule."""

from __future__ import annotations

import numpy as np
import pytest

from edge.inspection.type_naming import Pooled, Summed, grid_weights, namer

NAMES = ("scratch", "dent")


def region(rows: slice, columns: slice, value: float = 2.0):
    level = np.zeros((40, 60), np.float32)
    level[rows, columns] = value
    return level


def halves(strength: float):
    """Logits (normal, scratch, dent) on a 20 x 30 grid: scratch on the left, dent on the right."""
    logits = np.zeros((3, 20, 30), np.float32)
    logits[1, :, :15] = strength
    logits[2, :, 15:] = strength
    return logits


def test_the_type_that_prevails_inside_a_region_wins() -> None:
    name = Summed(NAMES, halves(4.0), (60, 40))
    kind, score, false_alarm = name(region(slice(5, 15), slice(5, 15)))
    # softmax of 4 against two zeros, and its share among the types alone
    assert (kind, score) == ("scratch", pytest.approx(np.exp(4) / (np.exp(4) + 1), abs=1e-3))
    assert false_alarm == pytest.approx(1 / (np.exp(4) + 2), abs=1e-3)
    assert name(region(slice(25, 35), slice(40, 50)))[0] == "dent"


def test_without_a_convincing_type_a_region_is_unknown() -> None:
    even = np.zeros((4, 8, 8), np.float32)
    for name in (Summed(("a", "b", "c"), even, (8, 8)), Pooled(("a", "b", "c"), even)):
        kind, score, false_alarm = name(np.full((8, 8), 2.0, np.float32))
        assert (kind, score) == ("unknown", pytest.approx(1 / 3))
        assert false_alarm == pytest.approx(1 / 4)


def test_pooling_weighs_places_by_the_map() -> None:
    level = region(slice(0, 40), slice(0, 60), 1.0)
    level[:, 30:] = 3.0  # three quarters of the evidence lie on the right
    kind, score, _ = Pooled(NAMES, halves(4.0))(level)
    # mean logits 1 and 3: a softmax of their difference
    assert (kind, score) == ("dent", pytest.approx(1 / (1 + np.exp(-2)), abs=1e-4))


def test_pooled_logits_are_averaged_and_summed_probabilities_are_not() -> None:
    logits = np.zeros((3, 2, 2), np.float32)
    logits[1, 0, 0] = 20.0  # one cell cries scratch
    logits[2] += 4.0  # all cells say dent
    level = np.ones((2, 2), np.float32)
    assert namer("summed", NAMES, logits, (2, 2))(level)[0] == "dent"
    assert namer("pooled", NAMES, logits, (2, 2))(level)[0] == "scratch"


@pytest.mark.parametrize("evidence", ["summed", "pooled"])
def test_the_normal_row_tells_false_alarms_and_never_the_type(evidence: str) -> None:
    """Not even where it is so sure that no probability is left for the types."""
    logits = halves(2.0)
    level = region(slice(5, 15), slice(5, 15))
    before = namer(evidence, NAMES, logits, (60, 40))(level)
    logits[0] = 12.0
    after = namer(evidence, NAMES, logits, (60, 40))(level)
    assert after[:2] == pytest.approx(before[:2], abs=1e-4)
    assert before.false_alarm < 0.2
    assert after.false_alarm > 0.9999
    logits[0] = 500.0
    assert Pooled(NAMES, logits)(level)[:2] == pytest.approx(before[:2], abs=1e-4)


def test_grid_weights_sum_to_one_and_follow_the_region() -> None:
    weights = grid_weights(region(slice(0, 10), slice(0, 15)), (4, 4))
    assert weights[0, 0] == pytest.approx(1)
    assert weights.sum() == pytest.approx(1)
    negative = grid_weights(region(slice(0, 10), slice(0, 30), -1.0), (4, 4))
    assert negative[0].tolist() == pytest.approx([0.5, 0.5, 0, 0])
