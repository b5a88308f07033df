"""Good parts dealt into shares: whole parts, copies together, about as many pictures each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.data.held_out import deal_parts
from edge.data.image_set import read_image_set
from edge.data.products import read_products
from edge.errors import DataError


def write_set(folder: Path, pictures: int, each: int = 0) -> Path:
    """Random good pictures; with `each`, split.csv gives a part to so many in a row."""
    rng = np.random.default_rng(len(folder.name))
    (folder / "train" / "good").mkdir(parents=True)
    rows = ["file,group"]
    for index in range(pictures):
        path = folder / "train" / "good" / f"{index:03d}.png"
        cv2.imwrite(str(path), rng.integers(0, 255, (40, 48, 3), np.uint8))
        rows.append(f"train/good/{path.name},part-{index // max(1, each)}")
    if each:
        (folder / "split.csv").write_text("\n".join(rows))
    return folder


def test_whole_parts_are_dealt_evenly(tmp_path: Path) -> None:
    images = read_image_set(write_set(tmp_path / "set", 44, each=4))
    shares = deal_parts(images, seed=1, count=4)
    by_part: dict[str, set[int]] = {}
    for sample, share in zip(images.train, shares, strict=True):
        by_part.setdefault(sample.group, set()).add(share)
    assert {len(found) for found in by_part.values()} == {1}
    assert sorted(Counter(shares).values()) == [8, 12, 12, 12]
    assert deal_parts(images, 1, 4) == shares
    assert deal_parts(images, 2, 4) != shares


def test_copies_of_a_picture_lie_in_one_share(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 24)
    good = folder / "train" / "good"
    for copy, original in ((23, 0), (22, 1), (12, 0)):
        (good / f"{copy:03d}.png").write_bytes((good / f"{original:03d}.png").read_bytes())
    for seed in range(4):
        shares = deal_parts(read_image_set(folder), seed, 6)
        assert shares[0] == shares[23] == shares[12]
        assert shares[1] == shares[22]


def test_neighbours_by_name_stay_together_where_parts_are_unknown(tmp_path: Path) -> None:
    shares = deal_parts(read_image_set(write_set(tmp_path / "set", 60)), 0, 6)
    assert set(shares) == set(range(6))
    blocks = [shares[start : start + 3] for start in range(0, 60, 3)]
    assert all(len(set(block)) == 1 for block in blocks)


def test_few_parts_make_few_shares_and_one_part_none(tmp_path: Path) -> None:
    two = read_image_set(write_set(tmp_path / "two", 8, each=4))
    assert set(deal_parts(two, 0, 6)) == {0, 1}
    with pytest.raises(DataError, match="too few different parts"):
        deal_parts(read_image_set(write_set(tmp_path / "one", 8, each=8)), 0, 6)
    with pytest.raises(DataError, match="at least 6 good pictures"):
        deal_parts(read_image_set(write_set(tmp_path / "few", 5)), 0, 6)


def test_products_with_shares_hold_nothing_out(tmp_path: Path) -> None:
    folders = [write_set(tmp_path / "lid", 12, each=2), write_set(tmp_path / "boxes", 18)]
    products = read_products(folders, seed=0, shares=3)
    assert len(products.train) == len(products.shares) == 30
    assert products.held_out == ()
    assert set(products.shares[:12]) == set(products.shares[12:]) == {0, 1, 2}
    record = products.record((48, 40))
    assert (record.train_images, record.train_groups, record.held_out_images) == (30, 24, 0)
