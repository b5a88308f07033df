"""Scales on good parts: of branches, scores from the grid, image branch and pre-label map."""

from __future__ import annotations

import pytest
import torch

from edge.methods.inp_former.branch_fitting import with_branches
from edge.methods.inp_former.calibration import prelabel_rescale, rescale, scaled, score_offset
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.labelled_defects import Trial, labelled_scores
from edge.methods.inp_former.settings import BranchSettings, ModelSettings
from edge.methods.presets import find_preset, model_settings
from edge.networks.weights import PACKAGE


def lite(**drawing: object) -> ModelSettings:
    settings = model_settings(find_preset("lite"), (96, 64), PACKAGE)
    branches = BranchSettings(memory=8, position_dims=4, image_dims=4)
    changed = settings.map.model_copy(update=drawing)
    return settings.model_copy(update={"branches": branches, "map": changed})


def built(settings: ModelSettings) -> Detector:
    torch.manual_seed(0)
    return Detector(settings).eval().requires_grad_(False)


def maps(count: int) -> torch.Tensor:
    torch.manual_seed(2)
    return torch.rand(count, 6, 4, 6)


def test_branches_have_their_median_at_0_and_their_high_quantile_at_1() -> None:
    good = maps(50) * torch.tensor([1.0, 2, 3, 4, 5, 6]).view(1, 6, 1, 1)
    before = built(lite())
    after = scaled(before, good)
    values = after.branches.normalized(good).transpose(0, 1).flatten(1)
    assert values.median(1).values.tolist() == pytest.approx([0] * 6, abs=0.01)
    assert values.quantile(0.999, 1).tolist() == pytest.approx([1] * 6, abs=0.01)
    assert before.branches["memory"].scale.tolist() == [1], "the given detector stays as it is"


def test_the_published_chain_has_no_scales() -> None:
    settings = lite(
        chain="published", score_from="map", score_tail_slope=None, local_contrast=0, tail_slope=1
    )
    after = scaled(built(settings), maps(9))
    assert [branch.scale.unique().tolist() for branch in after.branches] == [[1]] * 3
    assert [branch.offset.unique().tolist() for branch in after.branches] == [[0]] * 3


@torch.no_grad()
def test_scores_from_the_grid_have_the_scale_of_maps() -> None:
    good = maps(9)
    detector = built(lite(local_contrast=0))
    detector = detector.replaced(score_offset=torch.tensor(7.0))
    offset = score_offset(detector, good)
    judged = detector.replaced(score_offset=offset).judge(good)
    tops = detector.map_top(judged.map)
    assert float(judged.score.median()) == pytest.approx(float(tops.median()), abs=1e-6)
    assert float(offset) < -0.01


@torch.no_grad()
def test_a_score_from_the_map_has_no_offset() -> None:
    detector = built(with_branches(lite(), None))
    good = maps(3)[:, :4]
    assert score_offset(detector, good) is None
    judged = detector.judge(good)
    assert torch.equal(judged.score, detector.map_top(judged.map))


def test_a_rescaled_value_has_the_median_and_the_high_quantile_of_its_target() -> None:
    offset, slope = rescale(torch.linspace(1, 2, 101), torch.linspace(10, 30, 101))
    assert float(offset + slope * 20) == pytest.approx(1.5, abs=1e-4)
    assert float(offset + slope * 29) == pytest.approx(1.95, abs=1e-4)
    assert torch.isfinite(rescale(torch.ones(5), torch.ones(5))).all()


@torch.no_grad()
def test_the_image_branch_counts_where_it_is_the_larger() -> None:
    good, distances = maps(41), torch.linspace(10, 30, 41)
    detector = scaled(built(lite()), good, distances)
    without = detector.judge(good).score
    offset, slope = detector.image.rescale
    assert float(offset + slope * 20) == pytest.approx(float(without.median()), abs=1e-4)
    far = detector.judge(good[:1], torch.tensor([1000.0]))
    assert float(far.score) == pytest.approx(float(offset + slope * 1000), rel=1e-5)
    near = detector.judge(good[:1], torch.tensor([-1000.0]))
    assert float(near.score) == pytest.approx(float(without[0]))


@torch.no_grad()
def test_the_pre_label_map_is_brought_to_the_scale_of_the_map() -> None:
    good = maps(60)
    detector = built(lite(keep_prelabel_map=True))
    of_first = torch.tensor([1.0, 0, 0, 0, 0, 0])
    branches = detector.branches.changed(prelabel_weight=of_first)
    detector = scaled(detector.replaced(branches=branches), good)
    assert torch.equal(detector.prelabel_rescale, prelabel_rescale(detector, good))
    values = detector.branches.normalized(good)
    now = detector.weighted(values, detector.branches.weight)
    before = detector.weighted(values, of_first)
    offset, slope = detector.prelabel_rescale
    for found, one, other in zip(detector.fused(good), now, before, strict=True):
        assert torch.allclose(found, torch.maximum(one, offset + slope * other), atol=1e-6)
    scores = (detector.grid_top(now[1]), offset + slope * detector.grid_top(before[1]))
    for rank in (0.5, 0.95):
        ranks = [float(torch.quantile(score, rank)) for score in scores]
        assert ranks[0] == pytest.approx(ranks[1], abs=0.01)
    assert prelabel_rescale(built(lite()), good) is None


@torch.no_grad()
def test_labelled_pictures_are_scored_by_their_highest_input() -> None:
    detector = scaled(built(lite()), maps(9))
    shown = maps(3) * torch.tensor([1.0, 3.0, 2.0]).view(3, 1, 1, 1)
    found = labelled_scores(detector, [Trial(shown, 0.0, "scratch"), Trial(shown[:1], 0.0, "dent")])
    scores = detector.judge(shown).score
    assert found == (("scratch", float(scores.max())), ("dent", float(scores[0])))
    assert float(scores.max()) == float(scores[1])
