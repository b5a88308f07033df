"""What looks around a cell: the means themselves, memory, probe and the map's contrast."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from edge.data.frames import InputShape, network_inputs
from edge.methods.inp_former.branch_fitting import fill_branches, with_branches
from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.memory_bank import MemoryBank
from edge.methods.inp_former.probe_fitting import SYNTHETIC_RIDGE, CellCollector, Cells, fit_probe
from edge.methods.inp_former.settings import BranchSettings, MapSettings, ModelSettings
from edge.methods.presets import find_preset, model_settings
from edge.networks.neighbourhood import Neighbourhood, mean_around
from edge.networks.weights import PACKAGE, RANDOM, load_backbone
from edge.training.feature_cache import FeatureCache

GRID = (5, 6)
BRANCHES = BranchSettings(memory=16, position_dims=8, probe=1, memory_around=3, probe_around=5)


def lite(branches: BranchSettings = BRANCHES) -> ModelSettings:
    """Lite on a 6 x 4 grid."""
    settings = model_settings(find_preset("lite"), (96, 64), PACKAGE)
    return settings.model_copy(update={"branches": branches})


@pytest.fixture(scope="module")
def detector() -> Detector:
    torch.manual_seed(0)
    built = Detector(lite()).eval()
    load_backbone(built.features.backbone, PACKAGE)
    return built.requires_grad_(False)


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


def test_presets_look_around_on_convolutions_alone() -> None:
    lite_settings = model_settings(find_preset("lite"), (96, 64), PACKAGE)
    seen = lite_settings.branches
    assert (seen.memory_around, seen.probe_around, lite_settings.map.contrast) == (3, 7, 0.3)
    vit = model_settings(find_preset("standard"), (56, 56), RANDOM)
    assert (vit.branches.memory_around, vit.branches.probe_around, vit.map.contrast) == (1, 1, 0)
    alone = with_branches(lite_settings, None)
    assert alone.map.contrast == 0, "INP-Former alone judges as published"
    # Runs from before say nothing of it and judge as they did.
    assert BranchSettings.model_validate({"memory": 9}).memory_around == 1
    assert MapSettings.model_validate({"stride": 2}).contrast == 0


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="probe_around: expected an odd number of cells"):
        BranchSettings(probe_around=4)
    with pytest.raises(ValueError, match="contrast: expected chain: calibrated"):
        MapSettings(contrast=0.3, chain="published")


def test_a_probe_weighs_tokens_and_what_is_around_them() -> None:
    torch.manual_seed(1)
    probe = DefectProbe(4, 3, Neighbourhood(GRID, 3))
    assert probe.weight.shape == (8, 3)
    probe.weight.normal_()
    probe.bias.normal_()
    tokens = torch.randn(2, 30, 4)
    around = mean_around(tokens.mT.unflatten(-1, GRID), 3).flatten(2).mT
    expected = torch.logsumexp(torch.cat([tokens, around], -1) @ probe.weight + probe.bias, -1)
    assert torch.allclose(probe(tokens), expected, atol=1e-5)
    assert torch.equal(probe.seen(tokens)[..., :4], tokens)
    blank = probe.untaught()
    assert blank.weight.shape == probe.weight.shape
    assert float(blank.weight.abs().sum()) == 0


def test_an_ordinary_look_in_the_wrong_surroundings_can_be_taught() -> None:
    """Left halves look one way, right halves another; the defect is a left cell on the right."""
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
        probe = DefectProbe(6, 1, Neighbourhood((height, width), side))
        seen = probe.seen(tokens[:100]).flatten(0, 1)
        kind = kinds[:100].flatten()
        fit_probe(
            probe, Cells(seen, kind, kind.float(), (kind == 0).float(), kind), SYNTHETIC_RIDGE
        )
        odds = probe(tokens[100:])
        bad = kinds[100:] == 1
        found[side] = float((odds[bad].median() > odds[~bad]).float().mean())
    assert found[1] < 0.8
    assert found[5] > 0.99


def test_what_the_probe_learns_from_is_what_it_sees(detector: Detector) -> None:
    shape = InputShape((96, 64))
    pixels = np.random.default_rng(1).integers(0, 255, (64, 96, 3), np.uint8)
    collector = CellCollector(detector, shape, np.random.default_rng(0))
    collector.take(pixels, None, kind=0, part=0)
    groups = detector.extract(torch.from_numpy(network_inputs(pixels, shape)))
    expected = detector.probe.seen(torch.cat(groups, -1))[0]
    assert expected.shape[1] == 2 * sum(detector.features.channels)
    assert torch.allclose(collector.cells().tokens, expected, atol=1e-6)


def test_a_memory_knows_a_token_by_its_neighbours() -> None:
    tokens = F.normalize(torch.randn(3, 30, 8), dim=-1)
    memory = MemoryBank(90, 8, Neighbourhood(GRID, 3))
    seen = memory.seen(tokens)
    assert torch.allclose(seen.norm(dim=-1), torch.ones(3, 30), atol=1e-5)
    means = Neighbourhood(GRID, 3)(tokens)
    assert torch.allclose(seen, F.normalize(means, dim=-1), atol=1e-5)
    memory.bank.copy_(seen.flatten(0, 1))
    assert float(memory(tokens).max()) < 2e-3
    shuffled = tokens[:, torch.randperm(30)]  # every token is known, no neighbourhood is
    assert float(memory(shuffled).median()) > 0.2


def test_training_remembers_neighbourhoods(detector: Detector) -> None:
    torch.manual_seed(3)
    tokens = torch.randn(10, 24, sum(detector.features.channels))
    parts = tokens.half().split(list(detector.features.channels), dim=-1)
    fill_branches(detector, FeatureCache([part.numpy() for part in parts]), seed=0)
    seen = detector.memory.seen(detector.unit(tokens)).flatten(0, 1)
    nearest = torch.cdist(detector.memory.bank, seen).amin(1)
    assert float(nearest.max()) < 0.02


@torch.no_grad()
def test_contrast_is_the_maps_alone(detector: Detector) -> None:
    levels = torch.rand(2, len(detector.fuse.weight), 4, 6)
    drawn, scored = detector.fused(levels)
    plain = detector.fuse(levels)
    assert torch.allclose(drawn, plain + 0.3 * (plain - mean_around(plain, 7)), atol=1e-6)
    none = Detector(
        lite().model_copy(update={"map": lite().map.model_copy(update={"contrast": 0})})
    ).eval()
    none.load_state_dict(detector.state_dict())
    flat, same = none.fused(levels)
    assert torch.allclose(flat, plain, atol=1e-6)
    assert torch.equal(scored, same)
    # A frame of one level has no contrast.
    even, _ = detector.fused(torch.full_like(levels, 0.7))
    assert torch.allclose(even, torch.full_like(even, 0.7), atol=1e-5)


@torch.no_grad()
def test_a_heads_finer_grid_has_the_same_surroundings() -> None:
    settings = lite()
    net = settings.inp_former.model_copy(update={"head": (8, 4)})
    headed = Detector(settings.model_copy(update={"inp_former": net})).eval()
    cells = headed.grid_hw[0] // headed.features.grid_hw[0]
    assert cells > 1
    levels = torch.rand(1, len(headed.fuse.weight), *headed.grid_hw)
    drawn, _ = headed.fused(levels)
    plain = headed.fuse(levels)
    expected = plain + 0.3 * (plain - mean_around(plain, 7 * cells // 2 * 2 + 1))
    assert torch.allclose(drawn, expected, atol=1e-6)
