"""Grid to map: what the two matrices do is enlarging and smoothing, step by step."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from edge.networks.anomaly_map import KERNEL_SIZE, BothAxes, SmoothMap, gaussian_line


@pytest.mark.parametrize(
    ("grid_hw", "size_hw"), [((4, 6), (32, 48)), ((5, 3), (5, 3)), ((1, 2), (8, 16))]
)
def test_a_map_is_enlarged_and_smoothed_with_borders_repeated(
    grid_hw: tuple[int, int], size_hw: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    grid = torch.randn(2, 1, *grid_hw)
    level = F.interpolate(grid, size=size_hw, mode="bilinear", align_corners=False)
    level = F.pad(level, (KERNEL_SIZE // 2,) * 4, mode="replicate")
    line = gaussian_line().float()
    expected = F.conv2d(level, torch.outer(line, line)[None, None])[:, 0]
    assert torch.allclose(SmoothMap(grid_hw, size_hw)(grid), expected, atol=1e-5)


def test_a_constant_stays_what_it_is_up_to_the_border() -> None:
    level = SmoothMap((3, 5), (24, 40))(torch.full((1, 1, 3, 5), 0.7))
    assert torch.allclose(level, torch.full((1, 24, 40), 0.7), atol=1e-6)


def test_rows_and_columns_have_a_matrix_each() -> None:
    rows, columns, grid = torch.randn(7, 2), torch.randn(5, 3), torch.randn(4, 2, 3)
    assert torch.allclose(BothAxes(rows, columns)(grid), rows @ grid @ columns.T, atol=1e-5)
