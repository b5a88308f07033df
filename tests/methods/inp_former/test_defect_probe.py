"""The defect probe: its log-odds, and the direction that fitting finds."""

from __future__ import annotations

import pytest
import torch

from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.inp_former.probe_fitting import (
    LABELLED_RIDGE,
    SYNTHETIC_RIDGE,
    Cells,
    fit_probe,
)
from edge.networks.neighbourhood import Neighbourhood, mean_around

GRID = (5, 6)
ALONE = Neighbourhood(GRID, 1)


def cells(tokens: torch.Tensor, kinds: torch.Tensor) -> Cells:
    return Cells(tokens, kinds, (kinds > 0).float(), (kinds == 0).float(), kinds)


def test_its_values_are_the_log_odds_of_any_kind() -> None:
    torch.manual_seed(0)
    probe = DefectProbe(5, 3, ALONE).fitted(torch.randn(5, 3), torch.randn(3))
    tokens = torch.randn(2, 7, 5)
    logits = torch.cat([torch.zeros(2, 7, 1), tokens @ probe.weight + probe.bias], -1)
    likely = logits.softmax(-1)
    expected = (likely[..., 1:].sum(-1) / likely[..., 0]).log()
    assert torch.allclose(probe(tokens), expected, atol=1e-5)
    far = probe(tokens * 1e4)
    assert torch.isfinite(far).all(), "exponentials of large logits overflow"


def test_it_reads_tokens_and_the_means_of_their_neighbourhoods() -> None:
    torch.manual_seed(1)
    probe = DefectProbe(4, 3, Neighbourhood(GRID, 3)).fitted(torch.randn(8, 3), torch.randn(3))
    tokens = torch.randn(2, 30, 4)
    means = mean_around(tokens.mT.unflatten(-1, GRID), 3).flatten(2).mT
    expected = torch.logsumexp(torch.cat([tokens, means], -1) @ probe.weight + probe.bias, -1)
    assert torch.allclose(probe(tokens), expected, atol=1e-5)
    inputs = probe.inputs(tokens)
    assert torch.equal(inputs[..., :4], tokens)
    assert torch.allclose(inputs[..., 4:], means, atol=1e-6)


def test_a_fitted_probe_is_another_one() -> None:
    probe = DefectProbe(4, 1, ALONE)
    fitted = probe.fitted(torch.ones(4, 1), torch.ones(1))
    assert float(probe.weight.abs().max()) == float(probe.bias) == 0
    assert float(fitted.weight.min()) == float(fitted.bias) == 1
    assert fitted.neighbourhood is ALONE


def test_fitting_finds_the_directions_of_its_kinds_in_raw_tokens() -> None:
    torch.manual_seed(1)
    spread = torch.logspace(-2, 2, 20)  # channels of very different size
    kinds = torch.arange(600) % 3
    tokens = torch.randn(600, 20)
    tokens[kinds == 1, 4] += 6
    tokens[kinds == 2, 9] += 6
    probe = fit_probe(DefectProbe(20, 2, ALONE), cells(tokens * spread, kinds), LABELLED_RIDGE)
    fresh = torch.randn(300, 20)
    fresh[100:200, 4] += 6
    fresh[200:, 9] += 6
    odds = probe((fresh * spread)[None])[0]
    assert (odds[:100] < 0).float().mean() > 0.95
    assert (odds[100:] > 0).float().mean() > 0.95


def test_cells_without_a_defect_are_an_error() -> None:
    nothing = cells(torch.randn(9, 4), torch.zeros(9, dtype=torch.int64))
    with pytest.raises(ValueError, match="no cell shows a defect"):
        fit_probe(DefectProbe(4, 1, ALONE), nothing, 1e-3)


def test_an_ordinary_token_in_the_wrong_neighbourhood_can_be_learned() -> None:
    """Left halves have one look, right halves another; the defect is a left cell on the right."""
    torch.manual_seed(2)
    count, height, width = 200, 8, 8
    looks = 0.3 * torch.randn(count, height, width, 6)
    looks[:, :, :4, 0] += 2
    looks[:, :, 4:, 0] -= 2
    mask = torch.zeros(count, height, width, dtype=torch.bool)
    mask[::2, 3, 6] = True
    looks[..., 0] = torch.where(mask, 2 + 0.3 * torch.randn(mask.shape), looks[..., 0])
    tokens, kinds = looks.flatten(1, 2), mask.flatten(1, 2).long()
    found = {}
    for side in (1, 5):
        unfitted = DefectProbe(6, 1, Neighbourhood((height, width), side))
        inputs = unfitted.inputs(tokens[:100]).flatten(0, 1)
        probe = fit_probe(unfitted, cells(inputs, kinds[:100].flatten()), SYNTHETIC_RIDGE)
        odds = probe(tokens[100:])
        bad = kinds[100:] == 1
        found[side] = float((odds[bad].median() > odds[~bad]).float().mean())
    assert found[1] < 0.8
    assert found[5] > 0.99
