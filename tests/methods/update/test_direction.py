"""The direction of reviewed defects: found by few, turned by false rejects, 0 on good parts."""

from __future__ import annotations

import torch

from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.update.direction import Cells, GoodCells, fit_direction, good_cells_of
from edge.networks.neighbourhood import Neighbourhood

CHANNELS = 30


def cells(count: int, seed: int, **shifts: float) -> Cells:
    """Cells of one picture: noise, shifted along some channels (`c3=2.0`)."""
    values = torch.randn(count, CHANNELS, generator=torch.Generator().manual_seed(seed))
    for name, shift in shifts.items():
        values[:, int(name[1:])] += shift
    return Cells(values, torch.full((count,), 1 / count))


def good() -> GoodCells:
    return good_cells_of(cells(200, seed) for seed in range(20))


def probe() -> DefectProbe:
    return DefectProbe(CHANNELS, 1, Neighbourhood((4, 5), 1))


def mean_value(fitted: DefectProbe, seen: Cells) -> float:
    return float((fitted(seen.values[None])[0] * seen.weights).sum())


def test_moments_are_those_of_all_pictures() -> None:
    found = good()
    values = torch.cat([cells(200, seed).values for seed in range(20)]).double()
    assert torch.allclose(found.mean, values.mean(0), atol=1e-5)
    assert torch.allclose(found.scatter, values.T @ values / len(values), atol=1e-4)
    spread = values.std(0, unbiased=False)
    assert torch.allclose(found.scale, spread * CHANNELS**0.5, atol=1e-3)


def test_one_review_gives_a_direction_and_more_of_them_a_better_one() -> None:
    known = good()
    unseen, ordinary = cells(50, 900, c0=2.0, c1=2.0), cells(50, 901)
    gaps = []
    for count in (1, 20):
        reviews = [cells(4, 100 + seed, c0=2.0, c1=2.0) for seed in range(count)]
        fitted = fit_direction(probe(), known, reviews, ())
        spread = float(fitted(ordinary.values[None]).std())
        gaps.append((mean_value(fitted, unseen) - mean_value(fitted, ordinary)) / spread)
        assert abs(float(fitted(known.mean.float()[None, None]))) < 1e-5
    assert gaps[0] > 1
    assert gaps[1] > gaps[0]


def test_false_rejects_turn_it_away_from_themselves() -> None:
    """Defects and false rejects share a channel: what tells them apart is the other one."""
    defects = [cells(8, 100 + seed, c0=3.0, c1=3.0) for seed in range(5)]
    rejects = [cells(8, 200 + seed, c0=3.0) for seed in range(5)]
    again = cells(50, 902, c0=3.0)
    without = mean_value(fit_direction(probe(), good(), defects, ()), again)
    assert mean_value(fit_direction(probe(), good(), defects, rejects), again) < 0.7 * without


def test_pictures_weigh_alike_however_many_cells_they_have() -> None:
    small, large = cells(1, 100, c0=4.0), cells(500, 101, c1=4.0)
    fitted = fit_direction(probe(), good(), [small, large], ())
    assert mean_value(fitted, small) > 0.5 * mean_value(fitted, large) > 0
