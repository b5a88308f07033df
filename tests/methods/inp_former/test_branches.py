"""The list of branches: their maps, their fusion, and the graph that holds them all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn import functional as F

from edge.methods.inp_former.branch_fitting import fit_branches
from edge.methods.inp_former.branches import Branch, BranchList, fusion_weights
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.settings import BranchSettings, ModelSettings
from edge.methods.presets import LITE_CENTRING, find_preset, model_settings
from edge.networks.neighbourhood import mean_around
from edge.networks.weights import PACKAGE, RANDOM, load_backbone
from edge.toolchain.packing.export import export_detector
from edge.training.feature_cache import FeatureCache

BRANCHES = BranchSettings(memory=16, position_dims=8, probe=1)


def lite(branches: BranchSettings = BRANCHES, **drawing: object) -> ModelSettings:
    """Lite on a 6 x 4 grid; `drawing` are fields of MapSettings."""
    settings = model_settings(find_preset("lite"), (96, 64), PACKAGE)
    changed = settings.map.model_copy(update=drawing)
    return settings.model_copy(update={"branches": branches, "map": changed})


def with_net(settings: ModelSettings, **fields: object) -> ModelSettings:
    net = settings.inp_former.model_copy(update=fields)
    return settings.model_copy(update={"inp_former": net})


def built(settings: ModelSettings) -> Detector:
    torch.manual_seed(0)
    return Detector(settings).eval().requires_grad_(False)


def test_branches_have_names_in_the_order_of_their_maps() -> None:
    settings = with_net(lite(), head=(8, 4))
    branches = built(settings).branches
    assert branches.names == ("inp_former", "head", "memory", "position", "probe")
    assert [branch.maps for branch in branches] == [4, 1, 1, 1, 1]
    assert [branch.is_supervised for branch in branches] == [False, True, False, False, True]
    assert branches.reconstruction_maps == 5
    zero_shot = built(with_net(lite(), judge_by="prototypes", head=(8, 4))).branches
    assert zero_shot.names == ("inp_former", "memory", "position", "probe")
    assert zero_shot["inp_former"].maps == 1


def test_a_head_weighs_as_much_as_the_groups_and_every_other_branch_as_both() -> None:
    weight = built(with_net(lite(), head=(8, 4))).branches.weight
    assert weight.tolist() == pytest.approx([1 / 32] * 4 + [1 / 8] + [1 / 4] * 3)
    shares = fusion_weights(torch.tensor([0.1, 0.3]), [0.5, 0.0])
    assert shares.tolist() == pytest.approx([1 / 6, 1 / 2, 1 / 3, 0.0])


def test_a_changed_copy_leaves_the_list_as_it_is() -> None:
    branches = BranchList(
        [Branch("inp_former", torch.nn.Identity(), 2), Branch("memory", torch.nn.Identity())],
        (4, 6),
        (4, 6),
    )
    scorer = torch.nn.ReLU()
    changed = branches.changed({"memory": scorer}, weight=torch.tensor([1.0, 2.0, 3.0]))
    assert changed["inp_former"].weight.tolist() == [1, 2]
    assert changed["memory"].weight.tolist() == [3]
    assert changed["memory"].scorer is scorer
    assert changed["inp_former"].scorer is branches["inp_former"].scorer
    assert branches.weight.tolist() == [0, 0, 0]
    assert branches["memory"].scorer is not scorer
    assert branches.prelabel_weight is None
    kept = changed.changed(prelabel_weight=torch.tensor([4.0, 5.0, 6.0]))
    assert kept.prelabel_weight.tolist() == [4, 5, 6]
    assert kept.changed(offset=torch.ones(3)).prelabel_weight.tolist() == [4, 5, 6]


def test_maps_are_normalized_by_the_scale_of_their_branch() -> None:
    offset, scale = torch.arange(7.0), torch.arange(1.0, 8.0)
    branches = built(lite()).branches.changed(offset=offset, scale=scale)
    maps = torch.full((1, 7, 4, 6), 10.0)
    found = branches.normalized(maps)[0, :, 2, 3]
    assert found.tolist() == pytest.approx([(10 - i) / (i + 1) for i in range(7)])


@torch.no_grad()
def test_centring_subtracts_the_mean_of_the_frame_from_inp_formers_maps_alone() -> None:
    settings = lite()
    assert settings.inp_former.map_centring == LITE_CENTRING == 0.7
    detector = built(settings)
    published = built(with_net(settings, map_centring=0))
    frames = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    centred, whole = (each.branch_maps(each.extract(frames)) for each in (detector, published))
    means = whole[:, :4].mean((2, 3), keepdim=True)
    assert float(means.min()) > 0.1
    assert torch.allclose(centred[:, :4], whole[:, :4] - 0.7 * means, atol=1e-6)
    assert torch.equal(centred[:, 4:], whole[:, 4:])


@torch.no_grad()
def test_the_tail_of_unsupervised_branches_is_flat_in_the_map_and_less_so_in_the_score() -> None:
    detector = built(lite(local_contrast=0))
    weights = detector.branches.weight
    for index, weight in enumerate(weights.tolist()):
        values = torch.zeros(3, len(weights), 4, 6)
        values[:, index] = torch.tensor([-2.0, 0.5, 3.0]).view(3, 1, 1)
        for_map, for_score = (grid.mean((1, 2, 3)) / weight for grid in detector.fused(values))
        is_probe = index == len(weights) - 1
        assert for_map.tolist() == pytest.approx([-2, 0.5, 3 if is_probe else 1 + 0.1 * 2])
        assert for_score.tolist() == pytest.approx([-2, 0.5, 3 if is_probe else 1 + 0.5 * 2])
    headed = built(with_net(lite(), head=(8, 4)))
    assert headed.score_tail_slope.tolist() == [0.5] * 4 + [1.0, 0.5, 0.5, 1.0]


@torch.no_grad()
def test_without_a_slope_of_its_own_the_score_has_the_maps() -> None:
    detector = built(lite(local_contrast=0, score_tail_slope=None))
    for_map, for_score = detector.fused(5 * torch.rand(2, 7, 4, 6))
    assert torch.equal(for_map, for_score)


def test_transformers_keep_maps_as_published() -> None:
    settings = model_settings(find_preset("standard"), (56, 56), RANDOM)
    assert settings.inp_former.map_centring == 0
    assert settings.map.tail_slope == 1
    assert settings.map.score_from == "map"
    assert settings.map.local_contrast == 0
    branches = settings.branches
    assert (branches.memory_neighbourhood, branches.probe_neighbourhood) == (1, 1)


def test_lite_aggregates_neighbourhoods_and_adds_local_contrast() -> None:
    settings = model_settings(find_preset("lite"), (96, 64), PACKAGE)
    branches = settings.branches
    assert (branches.memory_neighbourhood, branches.probe_neighbourhood) == (3, 7)
    assert settings.map.local_contrast == 0.3


@torch.no_grad()
def test_local_contrast_changes_the_map_and_not_the_score() -> None:
    detector, flat = built(lite()), built(lite(local_contrast=0))
    values = torch.rand(2, 7, 4, 6)
    for_map, for_score = detector.fused(values)
    plain, same = flat.fused(values)
    assert torch.allclose(for_map, plain + 0.3 * (plain - mean_around(plain, 7)), atol=1e-6)
    assert torch.equal(for_score, same)
    even, _ = detector.fused(torch.full_like(values, 0.7))
    assert torch.allclose(even, torch.full_like(even, 0.7), atol=1e-5)


@torch.no_grad()
def test_a_heads_finer_grid_has_the_same_neighbourhood() -> None:
    detector, flat = (
        built(with_net(lite(local_contrast=share), head=(8, 4))) for share in (0.3, 0)
    )
    cells = detector.grid_hw[0] // detector.features.grid_hw[0]
    assert cells > 1
    values = torch.rand(1, 8, *detector.grid_hw)
    for_map, plain = detector.fused(values)[0], flat.fused(values)[0]
    expected = plain + 0.3 * (plain - mean_around(plain, 7 * cells // 2 * 2 + 1))
    assert torch.allclose(for_map, expected, atol=1e-6)


@torch.no_grad()
def test_a_heads_finer_grid_holds_the_maps_of_all_branches() -> None:
    plain = built(lite())
    headed = built(with_net(lite(), head=(8, 4)))
    headed.load_state_dict(headed.state_dict() | shared(plain, headed))
    groups = plain.extract(torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8))
    coarse, fine = plain.branch_maps(groups), headed.branch_maps(groups)
    assert fine.shape == (2, 8, 16, 24)
    enlarged = F.interpolate(coarse, size=(16, 24), mode="bilinear", align_corners=False)
    assert torch.allclose(fine[:, [0, 1, 2, 3, 5, 6, 7]], enlarged, atol=1e-6)


def shared(one: Detector, other: Detector) -> dict[str, torch.Tensor]:
    names = other.state_dict().keys()
    return {name: value for name, value in one.state_dict().items() if name in names}


@torch.no_grad()
def test_a_small_defect_keeps_its_height_in_the_score() -> None:
    detector = built(lite(local_contrast=0))
    values = torch.zeros(1, 7, 4, 6)
    values[..., 2, 3] = 0.9
    judged = detector.judge(values)
    # A hundredth of 24 cells is the highest one; upsampling and smoothing lower it in the map.
    assert float(judged.score) == pytest.approx(0.9)
    assert float(judged.map.max()) < 0.9 * 0.9


@torch.no_grad()
def test_all_branches_live_in_the_exported_graph(tmp_path: Path) -> None:
    branches = BranchSettings(
        memory=64, position_dims=8, image_dims=4, probe=3,
        memory_neighbourhood=3, probe_neighbourhood=5,
    )  # fmt: skip
    detector = built(lite(branches))
    load_backbone(detector.features.backbone, PACKAGE)
    places = torch.randn(24, sum(detector.features.channels))
    tokens = places + 0.1 * torch.randn(40, *places.shape)
    parts = tokens.half().split(list(detector.features.channels), dim=-1)
    detector = fit_branches(detector, FeatureCache([part.numpy() for part in parts]), seed=0)
    weight = torch.randn_like(detector.branches["probe"].scorer.weight)
    probe = detector.branches["probe"].scorer.fitted(0.1 * weight, torch.zeros(3))
    detector = detector.replaced(
        branches=detector.branches.changed({"probe": probe}),
        image=detector.image.changed(rescale=torch.tensor([0.5, 1.0])),
    )
    export_detector(detector, tmp_path / "all.onnx")
    session = onnxruntime.InferenceSession(
        str(tmp_path / "all.onnx"), providers=["CPUExecutionProvider"]
    )
    frame = np.random.default_rng(0).integers(0, 255, (1, 64, 96, 3), np.uint8)
    found_map, found_score = session.run(None, {"frame": frame})
    judged = detector(torch.from_numpy(frame))
    assert np.abs(found_map - judged.map.numpy()).max() < 1e-3 * judged.map.abs().max()
    assert found_score[0] == pytest.approx(float(judged.score), rel=1e-3)
    # The image branch decides here: without it the score is lower.
    maps = detector.branch_maps(detector.extract(torch.from_numpy(frame)))
    assert float(detector.judge(maps).score) < float(judged.score)
