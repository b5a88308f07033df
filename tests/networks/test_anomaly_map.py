"""Fusion of branch maps, upsampling and smoothing."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from edge.networks.anomaly_map import (
    KERNEL_SIZE,
    BothAxes,
    CalibratedSum,
    SmoothMap,
    gaussian_kernel,
    good_scale,
    weighted_sum,
)


@pytest.mark.parametrize(
    ("grid_hw", "size_hw"), [((4, 6), (32, 48)), ((5, 3), (5, 3)), ((1, 2), (8, 16))]
)
def test_a_map_is_upsampled_and_smoothed_with_borders_repeated(
    grid_hw: tuple[int, int], size_hw: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    grid = torch.randn(2, 1, *grid_hw)
    level = F.interpolate(grid, size=size_hw, mode="bilinear", align_corners=False)
    level = F.pad(level, (KERNEL_SIZE // 2,) * 4, mode="replicate")
    line = gaussian_kernel().float()
    expected = F.conv2d(level, torch.outer(line, line)[None, None])[:, 0]
    assert torch.allclose(SmoothMap(grid_hw, size_hw)(grid), expected, atol=1e-5)


def test_a_constant_stays_what_it_is_up_to_the_border() -> None:
    level = SmoothMap((3, 5), (24, 40))(torch.full((1, 1, 3, 5), 0.7))
    assert torch.allclose(level, torch.full((1, 24, 40), 0.7), atol=1e-6)


def test_rows_and_columns_have_a_matrix_each() -> None:
    rows, columns, grid = torch.randn(7, 2), torch.randn(5, 3), torch.randn(4, 2, 3)
    assert torch.allclose(BothAxes(rows, columns)(grid), rows @ grid @ columns.T, atol=1e-5)


def test_a_sum_of_branches_is_scaled_and_weighted() -> None:
    fuse = CalibratedSum(2)
    for name, values in (("offset", (1.0, 2.0)), ("scale", (2.0, 4.0)), ("weight", (0.25, 0.75))):
        getattr(fuse, name).copy_(torch.tensor(values))
    branches = torch.tensor([5.0, 4.0]).view(1, 2, 1, 1)
    # (5 - 1) / 2 = 2 and (4 - 2) / 4 = 0.5.
    assert float(fuse(branches)) == pytest.approx(0.25 * 2 + 0.75 * 0.5)


def test_the_tail_above_1_has_its_own_slope() -> None:
    values = torch.tensor([[-3.0, 1.0], [3.0, 3.0]]).mT.view(2, 2, 1, 1)
    found = weighted_sum(values, torch.ones(2), torch.tensor([0.5, 1.0]))
    assert found.flatten().tolist() == [-3 + 3, 1 + 3]
    found = weighted_sum(values.flip(1), torch.tensor([1.0, 0.0]), torch.tensor([0.5, 1.0]))
    assert found.flatten().tolist() == [1 + 0.5 * 2] * 2


def test_a_scale_is_from_the_median_to_the_high_quantile() -> None:
    torch.manual_seed(0)
    ranks = torch.randperm(2001).float()
    branches = torch.stack([ranks, 10 + 2 * ranks]).view(1, 2, 3, 667)
    offset, scale = good_scale(branches)
    assert offset.tolist() == [1000, 2010]
    assert scale.tolist() == [998, 1996]  # 1998 of 2000 is the 99.9 % quantile
    _, none = good_scale(torch.ones(1, 1, 4, 4))
    assert float(none) == pytest.approx(1e-6)
