"""The branches beside INP-Former: memory, position and image statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from edge.evaluation.paired_auroc import placements
from edge.methods.inp_former.branch_fitting import (
    align_image,
    align_score,
    fill_branches,
    keep,
    mixture,
    with_branches,
)
from edge.methods.inp_former.coreset import coreset
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.image_statistics import ImageStatistics
from edge.methods.inp_former.memory_bank import UnitGroups
from edge.methods.inp_former.settings import BranchSettings, MapSettings
from edge.methods.presets import LITE_CENTRING, find_preset, model_settings
from edge.networks.weights import PACKAGE, RANDOM, load_backbone
from edge.toolchain.packing.export import export_detector
from edge.training.feature_cache import FeatureCache


@pytest.fixture(scope="module")
def detector() -> Detector:
    """Lite on a 6 x 4 grid with all branches; only the backbone is trained."""
    torch.manual_seed(0)
    settings = model_settings(find_preset("lite"), (96, 64), PACKAGE)
    branches = BranchSettings(memory=64, position_dims=8, image_dims=4)
    plain = settings.map.model_copy(update={"contrast": 0})  # its tests: test_neighbourhood.py
    built = Detector(settings.model_copy(update={"branches": branches, "map": plain})).eval()
    load_backbone(built.features.backbone, PACKAGE)
    return built.requires_grad_(False)


@pytest.fixture(scope="module")
def cache(detector: Detector) -> FeatureCache:
    """Features of 40 good frames: every place has its own look, and varies a little."""
    torch.manual_seed(1)
    places = torch.randn(24, sum(detector.features.channels))
    tokens = places + 0.1 * torch.randn(40, 24, places.shape[1])
    parts = tokens.half().split(list(detector.features.channels), dim=-1)
    cache = FeatureCache([part.numpy() for part in parts])
    fill_branches(detector, cache, seed=0)
    return cache


@torch.no_grad()
def test_centring_takes_the_frame_off_inp_formers_maps_alone(detector: Detector) -> None:
    net = detector.settings.inp_former
    assert net.centring == LITE_CENTRING == 0.7
    published = Detector(
        detector.settings.model_copy(update={"inp_former": net.model_copy(update={"centring": 0})})
    ).eval()
    published.load_state_dict(detector.state_dict())
    frames = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    centred, whole = (each.branches(each.extract(frames)) for each in (detector, published))
    own = detector.own_branches
    means = whole[:, :own].mean((2, 3), keepdim=True)
    assert float(means.min()) > 0.1
    assert torch.allclose(centred[:, :own], whole[:, :own] - 0.7 * means, atol=1e-6)
    assert torch.equal(centred[:, own:], whole[:, own:])


def test_a_distance_beyond_rare_counts_little_and_what_was_taught_in_full() -> None:
    settings = model_settings(find_preset("lite"), (96, 64), PACKAGE)
    branches = BranchSettings(memory=64, position_dims=8, probe=1)
    built = Detector(settings.model_copy(update={"branches": branches})).eval()
    names = ("own",) * 4 + built.companions
    assert names[4:] == ("memory", "position", "probe")
    for index, name in enumerate(names):
        levels = torch.zeros(3, len(names), 4, 6)
        levels[:, index] = torch.tensor([-2.0, 0.5, 3.0]).view(3, 1, 1)
        fused = built.fuse(levels).mean((1, 2, 3)) / built.fuse.weight[index]
        high = 3.0 if name == "probe" else 1 + 0.1 * 2
        assert fused.tolist() == pytest.approx([-2.0, 0.5, high]), name


@torch.no_grad()
def test_the_score_counts_more_beyond_rare_than_the_map() -> None:
    settings = model_settings(find_preset("lite"), (96, 64), PACKAGE)
    plain = settings.map.model_copy(update={"contrast": 0})
    settings = settings.model_copy(update={"map": plain})
    branches = BranchSettings(memory=64, position_dims=8, probe=1)
    built = Detector(settings.model_copy(update={"branches": branches})).eval()
    for index in range(len(built.fuse.weight)):
        levels = torch.zeros(1, len(built.fuse.weight), 4, 6)
        levels[0, index, 2, 3] = 3.0
        weight = float(built.fuse.weight[index])
        drawn, scored = (float(grid.amax()) / weight for grid in built.fused(levels))
        is_taught = index == len(built.fuse.weight) - 1
        assert drawn == pytest.approx(3.0 if is_taught else 1 + 0.1 * 2)
        assert scored == pytest.approx(3.0 if is_taught else 1 + 0.5 * 2)
        judged = built.judge(levels)
        assert float(judged.score) == pytest.approx(scored * weight)
    # A residual head, which stands between INP-Former's groups and the rest, was taught, too.
    net = settings.inp_former.model_copy(update={"head": (8, 4)})
    headed = Detector(settings.model_copy(update={"branches": branches, "inp_former": net}))
    assert headed.score_slope.tolist() == [0.5] * 4 + [1.0, 0.5, 0.5, 1.0]
    # A run from before knows one limit.
    one = settings.map.model_copy(update={"score_beyond_rare": None})
    before = Detector(settings.model_copy(update={"branches": branches, "map": one})).eval()
    drawn, scored = before.fused(levels)
    assert torch.equal(drawn, scored)
    with pytest.raises(ValueError, match="score_beyond_rare: expected score_from: grid"):
        MapSettings(score_beyond_rare=0.5)


def test_transformers_keep_maps_as_published() -> None:
    settings = model_settings(find_preset("standard"), (56, 56), RANDOM)
    assert settings.inp_former.centring == 0
    assert settings.map.beyond_rare == 1
    assert settings.map.score_from == "map"


@torch.no_grad()
def test_a_small_defect_keeps_its_height_in_the_score(detector: Detector) -> None:
    detector.score_offset.zero_()
    levels = torch.zeros(1, len(detector.fuse.weight), 4, 6)
    levels[..., 2, 3] = 0.9
    judged = detector.judge(levels)
    # A hundredth of 24 cells is the highest one; enlarged and smoothed it has lost height.
    height = float(detector.fuse(levels).amax())
    assert float(judged.score) == pytest.approx(height)
    assert float(judged.map.max()) < 0.9 * height


@torch.no_grad()
def test_scores_from_the_grid_have_the_scale_of_maps(detector: Detector) -> None:
    torch.manual_seed(2)
    levels = torch.rand(9, len(detector.fuse.weight), 4, 6)
    detector.score_offset.fill_(7.0)
    align_score(detector, levels)
    judged = detector.judge(levels)
    tops = detector.map_top(judged.map)
    assert float(judged.score.median()) == pytest.approx(float(tops.median()), abs=1e-6)
    assert float(detector.score_offset) < -0.01


def test_a_score_from_the_map_is_left_as_it_is(detector: Detector) -> None:
    alone = Detector(with_branches(detector.settings, None)).eval()
    levels = torch.rand(3, len(alone.fuse.weight), 4, 6)
    before = alone.judge(levels)
    align_score(alone, levels)
    after = alone.judge(levels)
    assert torch.equal(after.score, before.score)
    assert torch.equal(after.score, alone.map_top(after.map))


def test_mixtures_that_harm_nothing_are_averaged() -> None:
    rng = np.random.default_rng(0)
    good, defective = rng.normal(0, 1, 1000), rng.normal(1.5, 1, 1000)

    def trials(count: int, noise: float):
        worse = [values + noise * rng.normal(0, 1, 1000) for values in (good, defective)]
        return {
            (1.0, 0.0): placements(good[:count], defective[:count]),
            (0.0, 1.0): placements(worse[0][:count], worse[1][:count]),
        }

    def lost(trial) -> float:
        return trial[1.0, 0.0].auroc - trial[0.0, 1.0].auroc

    harmful, harmless, few = trials(1000, 1.0), trials(1000, 0.5), trials(24, 1.0)
    assert mixture(harmful) == [1.0, 0.0]
    assert lost(harmful) > 0.05
    assert mixture(harmless) == [0.5, 0.5]
    assert 0.01 < lost(harmless) < 0.05
    assert mixture(few) == [0.5, 0.5], "of a few pictures, chance explains more"
    assert lost(few) > 0.05


def test_unit_groups_give_every_group_the_same_length() -> None:
    unit = UnitGroups(torch.block_diag(torch.ones(3, 1), torch.ones(5, 1)))
    tokens = unit(torch.randn(2, 4, 8) * torch.tensor([9.0] * 3 + [0.1] * 5))
    for group in (tokens[..., :3], tokens[..., 3:]):
        assert torch.allclose(group.square().sum(-1), torch.tensor(0.5), atol=1e-5)


def test_memory_knows_what_position_refuses(detector: Detector, cache: FeatureCache) -> None:
    good = torch.cat(cache.batch([0]), -1)
    moved = good.roll(1, dims=1)  # every look is known, none is where it belongs
    strange = torch.randn_like(good)
    memory = [float(detector.memory(detector.unit(x)).mean()) for x in (good, moved, strange)]
    position = [float(detector.position(detector.unit(x)).mean()) for x in (good, moved, strange)]
    assert memory[1] == pytest.approx(memory[0], abs=1e-6)
    assert memory[2] > 5 * memory[0]
    assert position[1] > 3 * position[0]


def test_a_remembered_token_has_no_distance(detector: Detector, cache: FeatureCache) -> None:
    assert len(cache) == 40
    assert float(detector.memory(detector.memory.bank[None]).max()) < 2e-3


def test_the_picture_as_a_whole_stands_out(detector: Detector, cache: FeatureCache) -> None:
    tokens = torch.cat(cache.batch(list(range(40))), -1)
    good = detector.image(tokens)
    # Each token moves by less than good ones differ: no single place is unusual.
    shifted = detector.image(tokens + 0.08)
    assert shifted.min() > good.max()


def test_image_statistics_of_few_pictures_stay_finite() -> None:
    from edge.methods.inp_former.branch_fitting import _fill_image

    image = ImageStatistics(channels=6, dims=4)
    _fill_image(image, image.pooled(torch.randn(3, 10, 6)))
    assert torch.isfinite(image(torch.randn(2, 10, 6))).all()


def test_image_distances_meet_map_scores_on_good_parts(detector: Detector) -> None:
    scores, distances = torch.linspace(1, 2, 101), torch.linspace(10, 30, 101)
    align_image(detector, scores, distances)
    offset, slope = detector.image_line
    assert float(offset + slope * 20) == pytest.approx(1.5, abs=1e-4)
    assert float(offset + slope * 29) == pytest.approx(1.95, abs=1e-4)
    maps = torch.zeros(1, 6, 4, 6)
    far = detector.judge(maps, torch.tensor([1000.0]))
    assert float(far.score) == pytest.approx(float(offset + slope * 1000), rel=1e-5)
    assert float(detector.judge(maps, torch.tensor([-1000.0])).score) == pytest.approx(
        float(detector.judge(maps).score)
    )


def test_a_useless_branch_leaves_the_graph(detector: Detector, cache: FeatureCache) -> None:
    groups = cache.batch([0])
    smaller = keep(detector, {"memory": 0.0, "position": 0.5})
    assert smaller.companions == ("position",)
    assert smaller.settings.branches.memory == 0
    before, after = detector.branches(groups), smaller.branches(groups)
    assert torch.equal(after, before[:, [0, 1, 2, 3, 5]])
    assert smaller.fuse.weight.tolist() == pytest.approx([1 / 6] * 4 + [1 / 3])


def test_inp_former_alone_judges_as_published(detector: Detector) -> None:
    assert with_branches(detector.settings, 40).inp_former.centring == 0.7
    assert with_branches(detector.settings, 40).map.score_from == "grid"
    alone = with_branches(detector.settings, None)
    assert alone.branches == BranchSettings()
    assert (alone.inp_former.centring, alone.map.beyond_rare) == (0, 1)
    assert alone.map.score_from == "map"


def test_few_parts_cannot_calibrate_the_image_branch(detector: Detector) -> None:
    assert with_branches(detector.settings, 29).branches.image_dims == 0
    assert with_branches(detector.settings, 30).branches.image_dims == 4


def test_a_coreset_has_one_vector_of_every_cluster() -> None:
    centres = 10 * torch.eye(5, 16)
    vectors = (centres[:, None] + 0.01 * torch.randn(5, 50, 16)).flatten(0, 1)
    picked = coreset(vectors, 5, seed=3)
    assert sorted((picked @ centres.T).argmax(1).tolist()) == [0, 1, 2, 3, 4]


@torch.no_grad()
def test_all_branches_live_in_the_exported_graph(cache: FeatureCache, tmp_path: Path) -> None:
    """With what looks around a cell, too: see test_neighbourhood.py."""
    torch.manual_seed(2)
    branches = BranchSettings(
        memory=64, position_dims=8, image_dims=4, probe=3, memory_around=3, probe_around=5
    )
    settings = model_settings(find_preset("lite"), (96, 64), PACKAGE)
    built = Detector(settings.model_copy(update={"branches": branches})).eval()
    load_backbone(built.features.backbone, PACKAGE)
    assert len(cache) == 40
    fill_branches(built, cache, seed=0)
    built.probe.weight.normal_(std=0.1)
    built.image_line.copy_(torch.tensor([0.5, 1.0]))
    export_detector(built, tmp_path / "all.onnx")
    session = onnxruntime.InferenceSession(
        str(tmp_path / "all.onnx"), providers=["CPUExecutionProvider"]
    )
    frame = np.random.default_rng(0).integers(0, 255, (1, 64, 96, 3), np.uint8)
    found_map, found_score = session.run(None, {"frame": frame})
    judgement = built(torch.from_numpy(frame))
    assert np.abs(found_map - judgement.map.numpy()).max() < 1e-3 * judgement.map.abs().max()
    assert found_score[0] == pytest.approx(float(judgement.score), rel=1e-3)
    # The image branch decides here: without it the score is lower.
    maps = built.branches(built.extract(torch.from_numpy(frame)))
    assert float(built.judge(maps).score) < float(judgement.score)
