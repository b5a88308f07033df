"""Means over the neighbourhood of a cell, of tokens and of maps."""

from __future__ import annotations

import pytest
import torch

from edge.networks.neighbourhood import Neighbourhood, mean_around

GRID = (5, 6)


@pytest.mark.parametrize("side", [1, 3, 7])
def test_a_mean_is_of_the_cells_that_exist(side: int) -> None:
    grid = torch.randn(2, 3, *GRID)
    expected = torch.empty_like(grid)
    reach = side // 2
    for y in range(GRID[0]):
        for x in range(GRID[1]):
            rows = slice(max(0, y - reach), y + reach + 1)
            columns = slice(max(0, x - reach), x + reach + 1)
            expected[:, :, y, x] = grid[:, :, rows, columns].mean((2, 3))
    assert torch.allclose(mean_around(grid, side), expected, atol=1e-6)
    tokens = Neighbourhood(GRID, side)(grid.flatten(2).mT)
    assert torch.allclose(tokens, expected.flatten(2).mT, atol=1e-6)
