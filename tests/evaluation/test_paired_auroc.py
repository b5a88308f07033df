from __future__ import annotations

import numpy as np
import pytest

from edge.evaluation.paired_auroc import Placements, is_worse, placements


def test_placements_average_to_auroc() -> None:
    good = np.array([0.1, 0.4, 0.6], np.float32)
    defective = np.array([0.2, 0.5, 0.7, 0.8], np.float32)
    found = placements(good, defective)
    assert found.good.tolist() == [1.0, 0.75, 0.5]
    assert found.defective == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert found.auroc == pytest.approx(found.defective.mean())
    same = placements(good, good)
    assert same.good.mean() == pytest.approx(same.defective.mean()), "ties count alike"


def test_a_loss_must_be_more_than_chance() -> None:
    def fell(good: np.ndarray, defective: np.ndarray) -> bool:
        was = Placements(np.full(20, 0.9), np.full(20, 0.9))
        return is_worse(was, Placements(was.good - good, was.defective - defective), 0.05)

    steady, unsteady = np.full(20, 0.08), np.zeros(20)
    unsteady[:2] = 0.8  # as much on average, by two pictures alone
    assert fell(steady, steady)
    assert not fell(unsteady, steady), "two good pictures"
    assert not fell(steady, unsteady), "two defects"
    assert not fell(steady / 2, steady / 2)
    assert not fell(-steady, -steady)
