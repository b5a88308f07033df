"""Labelled pictures: which ones train, which ones validate, and their masks of type ids."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.data.image_set import Sample
from edge.data.labelled_pictures import TypedPicture, labelled, mosaic, read_ids, split
from edge.errors import DataError
from edge.frame import GOOD


def sample(label: str, group: str, mask: Path | None = Path("m.png")) -> Sample:
    return Sample(Path(f"{label}-{group}.png"), label, group, None if label == GOOD else mask)


def test_shots_are_drawn_per_type_from_defects_with_a_mask() -> None:
    samples = [sample("crack", str(n)) for n in range(8)] + [
        sample("hole", str(n)) for n in range(2)
    ]
    samples += [sample(GOOD, str(n)) for n in range(5)] + [sample("hole", "x", mask=None)]
    rng = np.random.default_rng(0)
    chosen = labelled(samples, 3, rng)
    assert [s.label for s in chosen] == ["crack"] * 3 + ["hole"] * 2
    assert len(labelled(samples, 0, rng)) == 10
    assert labelled(samples, 3, np.random.default_rng(1)) != labelled(samples, 3, rng)


def test_validation_takes_whole_parts_and_a_fifth_of_every_label() -> None:
    samples = [sample(label, f"part {n}") for label in ("crack", GOOD) for n in range(10)]
    samples += [sample("crack", f"part {n}") for n in range(10)]
    samples += [sample("rare", f"rare {n}") for n in range(2)]
    train, validation = split(samples, np.random.default_rng(0))
    assert not {s.group for s in train} & {s.group for s in validation}
    assert len({s.group for s in validation}) == 2
    assert {s.label for s in validation} == {"crack", GOOD}
    assert sum(s.label == "rare" for s in train) == 2, "too few to share out"


@pytest.fixture
def flawed(tmp_path: Path) -> Sample:
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 30:33] = 255
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    cv2.imwrite(str(tmp_path / "p.png"), np.full((40, 60, 3), 90, np.uint8))
    return Sample(tmp_path / "p.png", "crack", "1", tmp_path / "m.png")


def test_id_masks_hold_nothing_but_ids(flawed: Sample) -> None:
    ids = read_ids(TypedPicture(flawed, 0, 5), (25, 17))
    assert ids.shape == (17, 25)
    assert set(np.unique(ids)) == {0, 5}
    good = Sample(flawed.path, GOOD, "1")
    assert not read_ids(TypedPicture(good, 0, 0), (25, 17)).any()
    with pytest.raises(DataError, match="expected a mask below ground_truth, found none"):
        read_ids(TypedPicture(Sample(flawed.path, "crack", "1"), 0, 5), (25, 17))


def test_a_mosaic_keeps_every_tiles_own_ids() -> None:
    pictures = [np.full((40, 60, 3), 10 * n, np.uint8) for n in range(4)]
    ids = [np.zeros((20, 30), np.uint8) for _ in range(4)]
    ids[1][5:15, 10:20] = 3
    ids[2][:, :] = 7
    picture, mask = mosaic(pictures, ids)
    assert picture.shape == (40, 60, 3)
    assert [int(picture[y, x, 0]) for y in (0, 39) for x in (0, 59)] == [0, 10, 20, 30]
    assert set(np.unique(mask[:10, 15:])) == {0, 3}, "the second tile shows its own type"
    assert set(np.unique(mask[10:, :15])) == {7}
    assert not mask[:10, :15].any()
    assert not mask[10:, 15:].any()
    assert np.argwhere(mask[:10, 15:] == 3).min(0).tolist() == [3, 5]
