"""Memory bank and position statistics: distances of known tokens, computed by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from edge.methods.inp_former.memory_bank import MemoryBank, PositionStatistics, UnitGroups
from edge.networks.neighbourhood import Neighbourhood

GRID = (5, 6)
ALONE = Neighbourhood(GRID, 1)


def test_every_group_of_a_token_gets_the_same_length() -> None:
    unit = UnitGroups(torch.block_diag(torch.ones(3, 1), torch.ones(5, 1)))
    tokens = unit(torch.randn(2, 4, 8) * torch.tensor([9.0] * 3 + [0.1] * 5))
    for group in (tokens[..., :3], tokens[..., 3:]):
        assert torch.allclose(group.square().sum(-1), torch.tensor(0.5), atol=1e-5)


def test_the_distance_to_the_bank_is_euclidean() -> None:
    bank = MemoryBank(torch.eye(3)[:2], ALONE)
    tokens = torch.tensor([[1.0, 0, 0], [0, 0, 1], [-1, 0, 0], [0.6, 0.8, 0]])[None]
    # |a - b| of unit vectors is 0, sqrt(2) at a right angle, and sqrt(2 - 2 * 0.8) here; the third
    # token is opposite to one vector and at a right angle to the other.
    expected = [0.0, 2**0.5, 2**0.5, 0.4**0.5]
    assert bank(tokens)[0].tolist() == pytest.approx(expected, abs=1e-6)
    opposite = MemoryBank(torch.eye(3)[:1], ALONE)
    assert float(opposite(tokens[:, 2:3])) == pytest.approx(2.0)


def test_an_aggregated_token_is_known_by_its_neighbourhood() -> None:
    tokens = F.normalize(torch.randn(3, 30, 8), dim=-1)
    around = Neighbourhood(GRID, 3)
    empty = MemoryBank.empty(90, 8, around)
    aggregated = empty.aggregated(tokens)
    assert torch.allclose(aggregated, F.normalize(around(tokens), dim=-1), atol=1e-5)
    bank = MemoryBank(aggregated.flatten(0, 1), around)
    assert float(bank(tokens).max()) < 2e-3
    shuffled = tokens[:, torch.randperm(30)]  # every token is in the bank, no neighbourhood is
    assert float(bank(shuffled).median()) > 0.2


def test_the_distance_of_a_neighbourhood_is_that_of_its_unit_mean() -> None:
    # In a row of three, the middle has the mean (1, 1, 1) / 3 of length 1 / sqrt(3).
    bank = MemoryBank(torch.tensor([[1.0, 0, 0]]), Neighbourhood((1, 3), 3))
    distances = bank(torch.eye(3)[None])[0]
    assert float(distances[1]) == pytest.approx((2 - 2 / 3**0.5) ** 0.5)
    # At the border two tokens are left: (1, 1, 0) / 2.
    assert float(distances[0]) == pytest.approx((2 - 2 / 2**0.5) ** 0.5)


def test_the_distance_at_a_position_is_in_standard_deviations() -> None:
    statistics = PositionStatistics(
        torch.eye(3)[:, :2],
        torch.tensor([[0.0, 0.0], [1.0, 0.0]]),
        torch.stack([torch.diag(torch.tensor([2.0, 1.0])), torch.eye(2)]),
    )
    tokens = torch.tensor([[[1.5, 4.0, 9.0], [1.0, 0.0, 9.0]]])
    # ((1.5 * 2)^2 + 4^2)^0.5 at the first position; the second token is the mean of its own.
    assert statistics(tokens)[0].tolist() == pytest.approx([5.0, 0.0])
