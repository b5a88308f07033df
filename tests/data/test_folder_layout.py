"""Folders as people have them: what is read, and what is left out and named."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.data.image_set import read_image_set
from edge.errors import DataError


def paint(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((16, 16), 100, np.uint8))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(3):
        paint(tmp_path / f"train/good/{index}.png")
        paint(tmp_path / f"test/good/{index}.png")
        paint(tmp_path / f"test/hole/{index}.png")
    return tmp_path


def said(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    "name",
    ["train/good/._0.png", "test/hole/.DS_Store", "test/.ipynb_checkpoints/0.png",
     "test/__MACOSX/0.png", "train/good/mon/0.png", "test/hole/cam1/0.png", "train/good/0.gif",
     "test/hole/Thumbs.db", "train/bad/0.png", "train/0.png", "test/0.png", "0.png",
     "validation/good/0.png"],
)  # fmt: skip
def test_what_is_left_out_is_named(
    folder: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    paint(folder / "x.png").rename(paint(folder / f"{name}.png").with_name(Path(name).name))
    (folder / f"{name}.png").unlink()
    with caplog.at_level(logging.WARNING):
        images = read_image_set(folder)
    assert (len(images.train), len(images.test)) == (3, 6)
    assert images.defect_types == ("hole",)
    assert any(part in said(caplog) for part in (name, str(Path(name).parent) + " (1 picture)",
               "test/.ipynb_checkpoints", "test/__MACOSX", "validation (1 picture)"))  # fmt: skip


def test_pipes_and_broken_links_are_named_and_never_waited_for(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(folder / "train/good/pipe.png")
    (folder / "train/good/link.png").symlink_to("nowhere.png")
    (folder / "train/good/other.png").symlink_to("0.png")
    with caplog.at_level(logging.WARNING):
        images = read_image_set(folder)
    assert [s.path.name for s in images.train] == ["0.png", "1.png", "2.png", "other.png"]
    assert "2 pipes, devices or broken links: train/good/link.png, train/good/pipe.png" in said(
        caplog
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [("test/good", "test/Good"), ("train/good", "train/GOOD"), ("train", "Train"),
     ("test", "TEST"), ("test/good", "test/good ")],
)  # fmt: skip
def test_a_name_of_the_layout_in_another_case_is_refused(folder: Path, old: str, new: str) -> None:
    (folder / old).rename(folder / new)
    with pytest.raises(DataError, match=f"{new}: expected the name .*; rename it"):
        read_image_set(folder)


def test_types_that_differ_by_case_are_refused(folder: Path) -> None:
    paint(folder / "test/Hole/0.png")
    with pytest.raises(DataError, match="Hole and hole differ by case only"):
        read_image_set(folder)


def test_a_set_whose_pictures_all_lie_deeper_says_so(tmp_path: Path) -> None:
    paint(tmp_path / "train/good/mon/0.png")
    with pytest.raises(DataError, match=r"found neither; left out 1 .*train/good/mon \(1 picture"):
        read_image_set(tmp_path)


def test_a_clean_set_is_read_without_a_word(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "README.md").write_text("of the set")
    with caplog.at_level(logging.WARNING):
        read_image_set(folder)
    assert said(caplog) == ""


@pytest.mark.parametrize(
    "name", [b"train/good/\xfc.png", b"test/good/\xfc.png", b"test/\xfc/x.png"]
)
def test_a_name_that_is_not_utf8_is_refused_in_one_line(folder: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((folder / "train/good/0.png").read_bytes())
    with pytest.raises(
        DataError, match=r"file names in UTF-8, found .*\\udcfc.*; rename"
    ) as raised:
        read_image_set(folder)
    assert "\n" not in str(raised.value)


def test_a_data_folder_whose_name_is_not_utf8_is_refused(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/Geh\xe4use"))
    folder.mkdir()
    picture = paint(tmp_path / "x.png")
    (folder / "x.png").write_bytes(picture.read_bytes())
    with pytest.raises(DataError, match=r"file names in UTF-8, found Geh\\udce4use"):
        read_image_set(folder)
