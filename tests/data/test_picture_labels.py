"""labels.csv: OK and NOK as people and stations list them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.data.image_set import read_image_set
from edge.errors import DataError


def folder_of(root: Path, names: list[str], table: str, encoding: str = "utf-8") -> Path:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / name), np.full((8, 8, 3), number * 20, np.uint8))
    (root / "labels.csv").write_bytes(table.encode(encoding))
    return root


NAMES = ["1.png", "2.png", "3.png", "4.png", "5.png"]


def test_a_list_says_what_teaches_as_good_and_what_is_a_defect(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = "file,label,type\n1.png,OK,\n2.png,ok,-\n3.png,NOK,scratch\n4.png,n.i.O.,\n9.png,OK,\n"
    images = read_image_set(folder_of(tmp_path, NAMES, table))
    assert [sample.path.name for sample in images.train] == ["1.png", "2.png"]
    found = {sample.path.name: sample.label for sample in images.test}
    assert found == {"3.png": "scratch", "4.png": "defect"}
    assert "1 pictures have no row and are left out: 5.png" in caplog.text
    assert "1 rows name no picture of the set: 9.png" in caplog.text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_spreadsheets_write_it_in_their_own_way(tmp_path: Path, encoding: str) -> None:
    table = 'sep=;\r\nDatei;Urteil;Fehlerart\r\n"C:\\bilder\\1.png";iO;\r\n2.png;niO;Riß\r\n'
    images = read_image_set(folder_of(tmp_path, NAMES[:2], table, encoding))
    assert [sample.path.name for sample in images.train] == ["1.png"]
    assert [sample.label for sample in images.test] == ["Riß"]


def test_a_mask_joins_a_listed_defect(tmp_path: Path) -> None:
    root = folder_of(tmp_path, NAMES[:2], "file,label,type\n1.png,OK,\n2.png,NOK,dent\n")
    (root / "ground_truth" / "dent").mkdir(parents=True)
    cv2.imwrite(str(root / "ground_truth" / "dent" / "2_mask.png"), np.eye(8, dtype=np.uint8) * 255)
    (defect,) = read_image_set(root).test
    assert defect.mask is not None


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,label\n1.png,1\n", "line 2: expected OK or NOK, found 1"),
        ("file,label\n1.png,\n", "expected OK or NOK, found nothing"),
        ("file,label\n1.png,OK\n1.png,NOK\n", "is good above, defect here"),
        ("file,label,type\n1.png,OK,scratch\n", "keep one of them"),
        ("file,label\nx.png,OK\n", "names none of the pictures"),
        ("file,wear\n1.png,OK\n", "columns file, label"),
        ("file,label,type\n1.png,NOK,../x\n", "expected the name of a defect type"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    tmp_path: Path, table: str, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_image_set(folder_of(tmp_path, NAMES, table))
    assert "\n" not in str(caught.value)


def test_beside_folders_it_may_only_agree(tmp_path: Path) -> None:
    names = ["train/good/1.png", "test/dent/2.png"]
    agrees = "file,label,type\ntrain/good/1.png,OK,\ntest/dent/2.png,NOK,\n"
    root = folder_of(tmp_path, names, agrees)
    assert [sample.label for sample in read_image_set(root).test] == ["dent"]
    folder_of(tmp_path, names, "file,label\ntrain/good/1.png,NOK\n")
    with pytest.raises(DataError, match="by its row; move it, or correct the row"):
        read_image_set(root)
