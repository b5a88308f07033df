"""The choice of the network size."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from edge.data.image_set import Sample
from edge.data.synthetic_defects import DEFECTS
from edge.methods.inp_former.planning import build
from edge.methods.inp_former.sizing import (
    best_size,
    choose_size,
    defect_cells,
    mean_auroc,
    trial_units,
    without_training,
)
from edge.methods.presets import find_preset, model_settings
from edge.methods.run_record import SizeTrial
from edge.networks.weights import RANDOM


def test_the_smallest_size_that_is_nearly_best_is_taken() -> None:
    trials = [
        SizeTrial(size_wh=(256, 256), auroc=0.90),
        SizeTrial(size_wh=(320, 320), auroc=0.945),
        SizeTrial(size_wh=(448, 448), auroc=0.95),
    ]
    assert best_size(trials) == (320, 320)
    assert best_size(trials[:1]) == (256, 256)


def test_every_kind_has_its_smaller_and_its_larger_defects() -> None:
    kinds = [None, "scar", "spot", "scar", "spot", None, "scar", "scar"]
    areas = [0, 0.4, 0.1, 0.3, 0.2, 0, 0.1, 0.2]
    cells = [cell.tolist() for cell in defect_cells(kinds, areas)]
    assert cells == [[6, 7], [3, 1], [2], [4]]


def test_a_cell_of_one_defect_counts_like_one_of_many() -> None:
    good = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    found, missed = np.array([0.9, 0.9, 0.9], np.float32), np.array([0.25], np.float32)
    assert mean_auroc(good, [found, missed]) == pytest.approx((1 + 2 / 4) / 2)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Sample]:
    folder, rng = tmp_path_factory.mktemp("good"), np.random.default_rng(0)
    samples = []
    for index in range(7):
        pixels = cv2.GaussianBlur(rng.integers(0, 255, (160, 120, 3), np.uint8), (0, 0), 3)
        path = folder / f"{index}.png"
        cv2.imwrite(str(path), pixels)
        samples.append(Sample(path, "good", str(index), None))
    return samples


def settings_at(size_wh: tuple[int, int]):
    return without_training(model_settings(find_preset("lite"), size_wh, RANDOM))


def test_a_trial_judges_by_what_needs_no_training() -> None:
    detector = build(settings_at((64, 96)), RANDOM, 0)
    assert list(detector.branches.names) == ["memory", "position"]
    assert detector.image is None


def test_all_sizes_judge_the_same_defects(
    pictures: Sequence[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.methods.inp_former.sizing.JUDGED_DEFECTS", 2 * len(DEFECTS))
    done: list[int] = []
    train, held_out = pictures[:4], pictures[4:]
    sizes = [(64, 96), (32, 32), (64, 96)]
    trials = choose_size(
        sizes, lambda size: build(settings_at(size), RANDOM, 0), train, held_out, 3, done.append
    )
    assert [trial.size_wh for trial in trials] == sizes
    assert trials[0].auroc == trials[2].auroc, "nothing but the size differs"
    assert all(0 < trial.auroc <= 1 for trial in trials)
    assert sum(done) == trial_units(train, held_out) == 7
