"""Fitting of memory bank, position and image statistics to features of good parts."""

from __future__ import annotations

import pytest
import torch

from edge.methods.inp_former.branch_fitting import (
    fit_branches,
    fit_image,
    fit_positions,
    with_branches,
)
from edge.methods.inp_former.coreset import coreset
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.image_statistics import ImageStatistics
from edge.methods.inp_former.settings import BranchSettings
from edge.methods.presets import find_preset, model_settings
from edge.networks.weights import PACKAGE
from edge.training.feature_cache import FeatureCache

BRANCHES = BranchSettings(memory=64, position_dims=8, image_dims=4)


def unfitted(branches: BranchSettings) -> Detector:
    """Lite on a 6 x 4 grid with random weights."""
    torch.manual_seed(0)
    settings = model_settings(find_preset("lite"), (96, 64), PACKAGE)
    detector = Detector(settings.model_copy(update={"branches": branches}))
    return detector.eval().requires_grad_(False)


def cached(tokens: torch.Tensor, detector: Detector) -> FeatureCache:
    parts = tokens.half().split(list(detector.features.channels), dim=-1)
    return FeatureCache([part.numpy() for part in parts])


@pytest.fixture(scope="module")
def cache() -> FeatureCache:
    """Features of 40 good frames: every position has its own look, which varies a little."""
    detector = unfitted(BRANCHES)
    torch.manual_seed(1)
    places = torch.randn(24, sum(detector.features.channels))
    return cached(places + 0.1 * torch.randn(40, *places.shape), detector)


@pytest.fixture(scope="module")
def detector(cache: FeatureCache) -> Detector:
    return fit_branches(unfitted(BRANCHES), cache, seed=0)


def test_fitting_leaves_the_given_detector_as_it_is(cache: FeatureCache) -> None:
    before = unfitted(BRANCHES)
    after = fit_branches(before, cache, seed=0)
    assert float(before.branches["memory"].scorer.bank.abs().max()) == 0
    assert float(before.image.gain.abs().max()) == 0
    assert float(after.branches["memory"].scorer.bank.abs().max()) > 0
    assert after.features is before.features


def test_the_bank_knows_tokens_that_position_statistics_refuse(
    detector: Detector, cache: FeatureCache
) -> None:
    good = torch.cat(cache.batch([0]), -1)
    moved = good.roll(1, dims=1)  # every token is known, none is where it belongs
    strange = torch.randn_like(good)
    memory, position = (
        [float(detector.branches[name].scorer(detector.unit_groups(x)).mean())
         for x in (good, moved, strange)]
        for name in ("memory", "position")
    )  # fmt: skip
    assert memory[1] == pytest.approx(memory[0], abs=1e-6)
    assert memory[2] > 5 * memory[0]
    assert position[1] > 3 * position[0]


def test_a_token_of_the_bank_has_no_distance(detector: Detector) -> None:
    memory = detector.branches["memory"].scorer
    assert float(memory(memory.bank[None]).max()) < 2e-3


def test_the_bank_holds_neighbourhoods() -> None:
    plain = unfitted(BranchSettings(memory=16, memory_neighbourhood=3))
    torch.manual_seed(3)
    tokens = torch.randn(10, 24, sum(plain.features.channels))
    detector = fit_branches(plain, cached(tokens, plain), seed=0)
    memory = detector.branches["memory"].scorer
    aggregated = memory.aggregated(detector.unit_groups(tokens)).flatten(0, 1)
    assert float(torch.cdist(memory.bank, aggregated).amin(1).max()) < 0.02


def test_the_covariance_of_a_position_is_regularised_in_units_of_the_mean_variance() -> None:
    """Four pictures whose only position varies along one axis, so that every step is by hand."""
    tokens = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]).unsqueeze(1).half()
    statistics = fit_positions(tokens, 2)
    # Variances over pictures: (9 + 9 + 1 + 1) / 3 along the axis, 0 across it; their mean is 10/3.
    along, ridge = 20 / 3, 0.12 * 10 / 3
    unit = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    distances = statistics(unit)[:, 0].tolist()
    assert distances == pytest.approx([(along + ridge) ** -0.5, ridge**-0.5], rel=1e-4)


def test_a_frame_that_differs_as_a_whole_is_far_from_all_good_ones(
    detector: Detector, cache: FeatureCache
) -> None:
    tokens = torch.cat(cache.batch(list(range(40))), -1)
    good = detector.image(tokens)
    # Each token moves by less than good ones differ: no single place is unusual.
    shifted = detector.image(tokens + 0.08)
    assert shifted.min() > good.max()


def test_image_statistics_of_few_pictures_stay_finite() -> None:
    image = ImageStatistics(channels=6, dims=4)
    fitted = fit_image(image, image.pooled(torch.randn(3, 10, 6)))
    assert torch.isfinite(fitted(torch.randn(2, 10, 6))).all()
    assert int((fitted.gain > 0).sum()) == 2, "three pictures have two principal components"
    assert float(image.gain.abs().max()) == 0


def test_inp_former_alone_has_maps_as_published() -> None:
    settings = unfitted(BRANCHES).settings
    assert with_branches(settings, 40) == settings
    assert (settings.inp_former.map_centring, settings.map.score_from) == (0.7, "grid")
    alone = with_branches(settings, None)
    assert alone.branches == BranchSettings()
    assert (alone.inp_former.map_centring, alone.map.tail_slope) == (0, 1)
    assert (alone.map.score_from, alone.map.score_tail_slope) == ("map", None)
    assert alone.map.local_contrast == 0


def test_few_parts_cannot_calibrate_the_image_branch() -> None:
    settings = unfitted(BRANCHES).settings
    assert with_branches(settings, 29).branches.image_dims == 0
    assert with_branches(settings, 30).branches.image_dims == 4


def test_a_coreset_has_one_vector_of_every_cluster() -> None:
    centres = 10 * torch.eye(5, 16)
    vectors = (centres[:, None] + 0.01 * torch.randn(5, 50, 16)).flatten(0, 1)
    picked = coreset(vectors, 5, seed=3)
    assert sorted((picked @ centres.T).argmax(1).tolist()) == [0, 1, 2, 3, 4]
