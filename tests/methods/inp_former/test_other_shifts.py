"""Good parts in other light and another place, judged without having been learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edge.data.augmentation import OTHER_SHIFT, changed_view
from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_image_set, read_view
from edge.geometry.view_transform import View
from edge.methods.inp_former.other_shifts import (
    PICTURES,
    changed_pictures,
    shift_pictures,
    try_other_shifts,
)
from edge.methods.run import read_calibration, read_model, read_record

SHAPE = InputShape((160, 128))


def test_a_grey_picture_is_not_changed_in_colour() -> None:
    grey = np.full((20, 30, 3), 120, np.uint8)
    names = [name for _, name in changed_pictures(View(grey))]
    assert names == ["darker", "brighter", "moved", "turned"]
    colour = grey.copy()
    colour[..., 0] = 40
    assert [name for _, name in changed_pictures(View(colour))] == list(OTHER_SHIFT)
    darker = {name: pixels for pixels, name in changed_pictures(View(colour))}["darker"]
    assert darker[0, 0].tolist() == [34, 102, 102]


def test_pictures_are_spread_over_all_parts() -> None:
    samples = [Sample(Path(f"{index}.png"), "good", str(index)) for index in range(100)]
    chosen = shift_pictures(samples)
    assert len(chosen) == PICTURES
    assert {int(sample.group) // 25 for sample in chosen} == {0, 1, 2, 3}


@torch.no_grad()
def test_every_picture_is_judged_by_the_detector_of_its_place(run: Path, plates: Path) -> None:
    detector = read_model(run, read_record(run))
    samples = read_image_set(plates).train[:6]
    asked: list[tuple[int, str]] = []

    def judge(place: int, groups: Sequence[torch.Tensor], kind: str):
        asked.append((place, kind))
        return detector.branch_maps(groups) + place, detector.image_distance(groups)

    told: list[int] = []
    trial = try_other_shifts(detector, judge, samples, samples[2::3], SHAPE, told.append)
    changes = len(set(trial.kinds))
    assert [place for place, _ in asked] == [2] * changes + [5] * changes
    assert [kind for _, kind in asked] == list(trial.kinds)
    assert told == [1, 1]
    assert float((trial.maps[changes:] - trial.maps[:changes]).median()) == pytest.approx(3, abs=1)


@torch.no_grad()
def test_a_run_keeps_the_scores_of_its_held_out_parts_in_other_shifts(
    run: Path, plates: Path
) -> None:
    record, calibration = read_record(run), read_calibration(run)
    detector = read_model(run, record)
    by_name = {sample.path.name: sample for sample in read_image_set(plates).train}
    held_out = [by_name[name] for name in calibration.files]
    expected = []
    for sample in shift_pictures(held_out):
        for name, change in OTHER_SHIFT.items():
            frame = network_inputs(changed_view(read_view(sample), change), SHAPE)
            score = float(detector(torch.from_numpy(frame)).score)
            expected.append((name, pytest.approx(score, abs=1e-4)))
    pixels = cv2.imread(str(held_out[0].path))
    assert not (pixels == pixels[..., :1]).all(), "the plates have colour"
    assert list(calibration.shifted) == expected
