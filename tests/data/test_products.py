from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.data.products import read_products
from edge.errors import DataError, TrainingError


def good_parts(folder: Path, count: int = 12) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(count)
    for number in range(count):
        pixels = rng.integers(0, 255, (12, 16, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number:02d}.png"), pixels)
    return folder


@pytest.fixture
def two_products(tmp_path: Path) -> tuple[Path, Path]:
    return good_parts(tmp_path / "plates"), good_parts(tmp_path / "blue_plates")


def test_every_product_gives_training_and_held_out_parts(two_products: tuple[Path, Path]) -> None:
    products = read_products(two_products, seed=0)
    assert products.names == ("plates", "blue_plates")
    for parts in (products.train, products.held_out):
        kinds = {sample.group.partition("/")[0] for sample in parts}
        assert kinds == {"plates", "blue_plates"}
    one = read_products(two_products[:1], seed=0)
    assert len(products.train) == 2 * len(one.train)
    assert "/" not in one.train[0].group


def test_shots_leave_the_held_out_parts_as_they_are(two_products: tuple[Path, Path]) -> None:
    products = read_products(two_products, seed=0)
    few = read_products(two_products, seed=0, shots=2)
    assert len(few.train) == 4
    assert set(few.train) <= set(products.train)
    assert few.held_out == products.held_out


def test_folders_that_cannot_name_products_are_refused(
    two_products: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="two folders are named plates"):
        read_products([two_products[0], two_products[0]], seed=0)
    odd = good_parts(tmp_path / "blue plates")
    with pytest.raises(DataError, match=r"'blue plates' cannot name a product.*rename it"):
        read_products([two_products[0], odd], seed=0)


def test_a_set_without_good_parts_cannot_be_trained_on(tmp_path: Path) -> None:
    good_parts(tmp_path / "p" / "test" / "hole")
    with pytest.raises(TrainingError, match=r"p: no pictures in train/good"):
        read_products([tmp_path / "p"], seed=0)


def test_the_record_counts_pictures_and_independent_parts(two_products: tuple[Path, Path]) -> None:
    (two_products[0] / "split.csv").write_text(
        "file,group\n" + "".join(f"{n:02d}.png,part {n // 2}\n" for n in range(12))
    )
    record = read_products(two_products[:1], seed=0).record((6, 4))
    assert (record.name, record.products, record.has_groups) == ("plates", (), True)
    assert record.train_images + record.held_out_images == 12
    assert record.train_groups + record.held_out_groups == 6
    both = read_products(two_products, seed=0).record((6, 4))
    assert (both.name, both.has_groups) == ("plates+blue_plates", False)
    assert both.products == ("plates", "blue_plates")
