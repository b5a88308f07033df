"""Fusion weights: the trial on synthetic defects, and branches that are left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edge.data.frames import InputShape
from edge.data.image_set import read_image_set
from edge.data.synthetic_defects import DEFECTS
from edge.evaluation.paired_auroc import placements
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.fusion_fitting import (
    fit_fusion,
    kept_maps,
    mixture,
    with_probe,
    with_shares,
    without_useless,
)
from edge.methods.inp_former.settings import BranchSettings
from edge.methods.presets import find_preset, model_settings
from edge.methods.run import read_model, read_record
from edge.networks.weights import PACKAGE, load_backbone

SHAPE = InputShape((160, 128))


def built(branches: BranchSettings) -> Detector:
    torch.manual_seed(0)
    settings = model_settings(find_preset("lite"), SHAPE.size_wh, PACKAGE)
    detector = Detector(settings.model_copy(update={"branches": branches}))
    load_backbone(detector.features.backbone, PACKAGE)
    return detector.eval().requires_grad_(False)


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


def test_shares_are_relative_to_inp_former() -> None:
    detector = built(BranchSettings(memory=8, position_dims=4))
    changed = with_shares(detector, [1.0, 0.5])
    assert changed.branches.weight.tolist() == pytest.approx([0.1] * 4 + [0.4, 0.2])
    assert detector.branches.weight.tolist() == pytest.approx([1 / 12] * 4 + [1 / 3] * 2)


@torch.no_grad()
def test_a_useless_branch_leaves_the_graph() -> None:
    detector = built(BranchSettings(memory=8, position_dims=4, image_dims=4))
    torch.manual_seed(1)
    detector.branches["position"].scorer.whiten.normal_()
    smaller = without_useless(detector, {"memory": 0.0, "position": 0.5})
    assert smaller.branches.names == ("inp_former", "position")
    assert smaller.settings.branches.memory == 0
    assert smaller.image is detector.image
    assert smaller.branches.weight.tolist() == pytest.approx([1 / 6] * 4 + [1 / 3])
    groups = detector.extract(torch.randint(0, 255, (1, 128, 160, 3), dtype=torch.uint8))
    before, after = detector.branch_maps(groups), smaller.branch_maps(groups)
    assert torch.equal(after, before[:, [0, 1, 2, 3, 5]])
    assert kept_maps(detector, smaller) == [0, 1, 2, 3, 5]


@torch.no_grad()
def test_the_probe_is_tried_on_kinds_that_it_was_not_fitted_to(plates: Path) -> None:
    """A probe that is blind to such kinds is left out, whatever the probe of all kinds is worth."""
    unfitted = built(BranchSettings(probe=1))
    held_out = read_image_set(plates).train[4:12]
    own = unfitted.branches["probe"].scorer
    blind = own.fitted(torch.zeros_like(own.weight), torch.full((1,), -100.0))
    harmless = own.fitted(torch.zeros_like(own.weight), torch.zeros(1))
    detector = with_probe(unfitted, harmless)
    for good, of_kind, share in ((harmless, harmless, 0.3), (harmless, blind, None)):
        probes = {"good": good, **dict.fromkeys(DEFECTS, of_kind)}
        kept = fit_fusion(detector, probes, held_out, SHAPE, 0, lambda _: None)
        assert ("probe" in kept.branches) == (share is not None)
        if share is not None:
            assert float(kept.branches["probe"].weight) == pytest.approx(share)
            assert kept.branches["probe"].scorer is good


def test_without_added_branches_there_is_nothing_to_try(plates: Path) -> None:
    detector = built(BranchSettings())
    held_out = read_image_set(plates).train[:2]
    assert fit_fusion(detector, {}, held_out, SHAPE, 0, lambda _: None) is detector


def test_the_probe_has_three_tenths_of_the_weight_in_a_fresh_run(run: Path) -> None:
    record = read_record(run)
    assert record.model.branches.probe == 1
    weight = read_model(run, record).branches["probe"].weight
    assert float(weight) == pytest.approx(0.3)
