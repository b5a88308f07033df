"""Defective pictures without masks: which cells are taken, and that they teach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.data.frames import InputShape
from edge.data.image_set import Sample, read_image_set, read_mask
from edge.data.products import Products, read_products
from edge.errors import TrainingError
from edge.methods.inp_former import labelled_defects
from edge.methods.inp_former.branches import PROBE
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.labelled_defects import learn_defects, with_label_probe
from edge.methods.inp_former.probe_fitting import probe_of
from edge.methods.inp_former.unmarked_defects import UnmarkedDefects, read_unmarked
from edge.methods.run import read_model, read_record

SHAPE = InputShape((160, 128))


def ignore(_done: int) -> None: ...


@pytest.fixture(scope="module")
def detector(run: Path) -> Detector:
    return read_model(run, read_record(run))


@pytest.fixture(scope="module")
def products(run: Path, plates: Path) -> Products:
    return read_products([plates], read_record(run).training.seed)


@pytest.fixture(scope="module")
def marked(plates: Path) -> list[Sample]:
    return [sample for sample in read_image_set(plates).test if sample.mask][::2]


def bare(samples: Sequence[Sample]) -> list[Sample]:
    return [replace(sample, mask=None) for sample in samples]


@pytest.fixture(scope="module")
def unmarked(detector: Detector, products: Products, marked: list[Sample]) -> UnmarkedDefects:
    candidate = with_label_probe(detector, 5)
    found = read_unmarked(detector, candidate, bare(marked), products.held_out, SHAPE, ignore)
    assert found is not None
    return found


def test_cells_are_taken_where_the_defect_is_and_nothing_is_called_good(
    detector: Detector, unmarked: UnmarkedDefects, marked: list[Sample]
) -> None:
    grid_hw = detector.features.grid_hw
    probe = probe_of(with_label_probe(detector, 5), PROBE)
    cells = unmarked.first_cells(probe, grid_hw)
    assert not cells.good.any(), "the rest of a bad picture is left out"
    for part, kind in set(zip(cells.parts.tolist(), cells.kinds.tolist(), strict=True)):
        of_one = (cells.parts == part) & (cells.kinds == kind)
        assert float(cells.defect[of_one].sum()) == pytest.approx(1)
    # Of the masks alone: cells whose token is one of those taken.
    inside = total = 0
    for bag, sample in zip(unmarked.bad, marked, strict=True):
        taken = cells.tokens[(cells.parts == bag.part) & (cells.kinds == bag.kind)]
        mask = read_mask(sample, (160, 128)).reshape(grid_hw[0], -1, grid_hw[1], 160 // grid_hw[1])
        covered = np.pad(mask.any((1, 3)), 1)
        near = sum(
            covered[i : i + grid_hw[0], j : j + grid_hw[1]] for i in range(3) for j in range(3)
        )
        own = probe.inputs(bag.tokens.float())[0]
        where = [int((own - token).abs().sum(1).argmin()) for token in taken]
        inside += sum(near.reshape(-1)[where] > 0)
        total += len(where)
    assert total >= 5
    assert inside > 0.7 * total


def test_good_parts_and_faint_pictures_give_no_cells(unmarked: UnmarkedDefects, detector) -> None:
    alike = UnmarkedDefects(
        tuple(replace(bag, kind=1, part=1) for bag in unmarked.good[:4]), unmarked.good
    )
    probe = probe_of(with_label_probe(detector, 5), PROBE)
    cells = alike.first_cells(probe, detector.features.grid_hw)
    # One good part in twenty stands out among good ones.
    assert len(set(cells.parts.tolist())) <= 1


def test_pictures_without_masks_teach(
    detector: Detector, products: Products, marked: list[Sample]
) -> None:
    found, trial = learn_defects(detector, bare(marked), products, SHAPE, 0, ignore)
    assert trial.is_kept
    assert trial.auroc_after >= trial.auroc_before - labelled_defects.TOLERANCE
    weight = probe_of(found, PROBE).weight
    assert weight.shape[1] == len({sample.label for sample in marked})
    assert weight.abs().sum() > 0


def test_where_nothing_stands_out_nothing_is_learned(
    detector: Detector, products: Products
) -> None:
    good = [replace(sample, label="crack") for sample in products.train[:3]]
    with pytest.raises(TrainingError, match="3 pictures whose map is like that of good parts"):
        learn_defects(detector, good, products, SHAPE, 0, ignore)


def test_the_probe_of_a_fold_knows_nothing_of_its_parts(
    unmarked: UnmarkedDefects, detector: Detector
) -> None:
    rest = unmarked.without([1])
    assert {bag.part for bag in rest.bad} == {bag.part for bag in unmarked.bad} - {1}
    probe = probe_of(with_label_probe(detector, 5), PROBE)
    parts = rest.first_cells(probe, detector.features.grid_hw).parts
    assert len(parts)
    assert not parts.eq(1).any()
