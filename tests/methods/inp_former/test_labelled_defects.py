"""Labelled defects: the probe that is fitted to them, the pre-label map, and the trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_image_set, read_pixels
from edge.data.products import Products, read_products
from edge.errors import TrainingError
from edge.methods.inp_former import labelled_defects
from edge.methods.inp_former.calibration import calibrate
from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.labelled_defects import learn_defects, with_label_probe
from edge.methods.inp_former.probe_fitting import Cells, fit_probe
from edge.methods.run import read_model, read_record

SHAPE = InputShape((160, 128))


@pytest.fixture
def detector(run: Path) -> Detector:
    return read_model(run, read_record(run))


@pytest.fixture
def products(run: Path, plates: Path) -> Products:
    return read_products([plates], read_record(run).training.seed)


def with_masks(plates: Path) -> list[Sample]:
    return [sample for sample in read_image_set(plates).test if sample.mask]


def one_type(plates: Path) -> list[Sample]:
    defects = with_masks(plates)
    return [sample for sample in defects if sample.label == defects[0].label]


def learned(
    detector: Detector, defects: Sequence[Sample], products: Products
) -> tuple[Detector, bool]:
    found, trial = learn_defects(detector, defects, products, SHAPE, 0, lambda _: None)
    return found, trial.is_kept


def inverted(probe: DefectProbe, cells: Cells, ridge: float) -> DefectProbe:
    """A probe that takes good cells for defects."""
    fitted = fit_probe(probe, cells, ridge)
    return fitted.fitted(-fitted.weight, -fitted.bias)


def maps(detector: Detector, samples: Sequence[Sample]) -> torch.Tensor:
    frames = [network_inputs(read_pixels(sample.path), SHAPE) for sample in samples]
    with torch.no_grad():
        return detector.branch_maps(detector.extract(torch.from_numpy(np.concatenate(frames))))


def test_the_new_probe_weighs_as_much_as_all_others_together(
    detector: Detector, products: Products, plates: Path
) -> None:
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    found, is_kept = learned(detector, with_masks(plates), products)
    assert is_kept
    branches, old = found.branches, detector.branches
    assert branches.names[-2:] == ("prelabel_probe", "probe")
    assert branches["probe"].scorer.kinds == len(read_image_set(plates).defect_types)
    assert float(branches["probe"].weight) == pytest.approx(0.5)
    assert float(branches["prelabel_probe"].weight) == 0
    others, distances = branches.weight[:-2], old.weight[:-1]
    assert torch.allclose(others / others.sum(), distances / distances.sum(), atol=1e-6)
    assert branches["prelabel_probe"].scorer is old["probe"].scorer
    assert branches.prelabel_weight.tolist() == [*old.weight.tolist(), 0]
    for name, value in detector.state_dict().items():
        assert torch.equal(value, before[name]), "the given detector stays as it is"


def test_labels_that_cost_are_left_out(
    detector: Detector, products: Products, plates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_prelabel_map(candidate: Detector, grids: torch.Tensor) -> Detector:
        scaled = with_branch_scales(candidate, grids)
        return scaled.replaced(prelabel_rescale=torch.tensor([-100.0, 0.0]))

    with_branch_scales = labelled_defects.with_branch_scales
    monkeypatch.setattr(labelled_defects, "fit_probe", inverted)
    monkeypatch.setattr(labelled_defects, "with_branch_scales", without_prelabel_map)
    monkeypatch.setattr(labelled_defects, "SHARE", 4.0)
    same, trial = learn_defects(detector, with_masks(plates), products, SHAPE, 0, lambda _: None)
    assert not trial.is_kept
    assert trial.auroc_after < trial.auroc_before
    assert same is detector


def test_types_that_nobody_labelled_stay_as_visible_as_before(
    detector: Detector, products: Products, plates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even a probe that lowers the map everywhere leaves the pre-label map to judge by."""
    monkeypatch.setattr(labelled_defects, "fit_probe", inverted)
    monkeypatch.setattr(labelled_defects, "TOLERANCE", 1.0)  # whatever it costs
    found, _ = learned(detector, one_type(plates), products)
    shown = one_type(plates)

    def height(judged: Detector) -> float:
        """Scores of defects, in units of how far good parts differ."""
        judged, _ = calibrate(judged, products.held_out, SHAPE, lambda _: None)
        good = judged.judge(maps(judged, products.held_out)).score
        scores = judged.judge(maps(judged, shown)).score
        return float((scores.mean() - good.median()) / (good.max() - good.median()))

    before = height(detector)
    assert height(found) > 0.8 * before
    assert height(without_prelabel_map(found)) < 0.5 * before


def without_prelabel_map(detector: Detector) -> Detector:
    settings, weight = detector.settings, detector.branches.weight
    drawing = settings.map.model_copy(update={"keep_prelabel_map": False})
    plain = detector.adapted(settings.model_copy(update={"map": drawing}))
    assert plain.prelabel_rescale is None
    return plain.replaced(branches=plain.branches.changed(weight=weight))


def test_labels_learned_twice_keep_the_first_pre_label_map(
    detector: Detector, products: Products, plates: Path
) -> None:
    once, _ = learned(detector, one_type(plates), products)
    twice, _ = learned(once, with_masks(plates), products)
    assert twice is not once
    assert twice.branches.names == once.branches.names
    prelabel_probe = twice.branches["prelabel_probe"].scorer
    assert prelabel_probe.weight.tolist() == detector.branches["probe"].scorer.weight.tolist()
    assert twice.branches.prelabel_weight.tolist() == once.branches.prelabel_weight.tolist()
    assert twice.branches.weight.tolist() == once.branches.weight.tolist()


def test_a_run_without_a_probe_has_a_pre_label_map_without_one(detector: Detector) -> None:
    fields = {"probe": 0, "memory": 8, "position_dims": 0}
    changed = detector.settings.branches.model_copy(update=fields)
    plain = Detector(detector.settings.model_copy(update={"branches": changed})).eval()
    found = with_label_probe(plain, 2)
    assert found.branches.names == ("inp_former", "memory", "probe")
    assert found.branches.weight.tolist() == pytest.approx([1 / 16] * 4 + [1 / 4, 1 / 2])
    assert found.branches.prelabel_weight.tolist() == pytest.approx([1 / 8] * 4 + [1 / 2, 0])


def test_masks_that_mark_nothing_are_an_error(
    detector: Detector, products: Products, plates: Path, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "empty.png"), np.zeros((128, 160), np.uint8))
    defects = [replace(each, mask=tmp_path / "empty.png") for each in with_masks(plates)[:3]]
    with pytest.raises(TrainingError, match="found 3 empty masks"):
        learn_defects(detector, defects, products, SHAPE, 0, lambda _: None)


def test_labelled_parts_are_tried_with_probes_that_were_not_fitted_to_them(
    detector: Detector, products: Products, plates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    defects = with_masks(plates)[::3]
    numbers = {group: 1 + i for i, group in enumerate(sorted({s.group for s in defects}))}
    fitted_to: dict[DefectProbe, set[int]] = {}
    tried_with: dict[str, DefectProbe] = {}
    try_sample = labelled_defects._try

    def spy_fit(probe: DefectProbe, cells: Cells, ridge: float) -> DefectProbe:
        fitted = fit_probe(probe, cells, ridge)
        fitted_to[fitted] = set(cells.parts.tolist())
        return fitted

    def spy_try(candidate: Detector, before: Detector, sample: Sample, *rest):
        tried_with[sample.group] = candidate.branches["probe"].scorer
        return try_sample(candidate, before, sample, *rest)

    monkeypatch.setattr(labelled_defects, "fit_probe", spy_fit)
    monkeypatch.setattr(labelled_defects, "_try", spy_try)
    monkeypatch.setattr(labelled_defects, "TOLERANCE", 1.0)
    kept, _ = learned(detector, defects, products)
    for group, number in numbers.items():
        assert number not in fitted_to[tried_with[group]]
        assert len(fitted_to[tried_with[group]]) > 1
    assert fitted_to[kept.branches["probe"].scorer] == {0, *numbers.values()}
