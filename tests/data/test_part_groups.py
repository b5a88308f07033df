"""split.csv as people and spreadsheets write it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from edge.data.part_groups import read_groups
from edge.errors import DataError

FILES = [f"train/good/p{number}.png" for number in range(4)]
PLAIN = "file,group\n" + "".join(f"{file},G{i // 2}\n" for i, file in enumerate(FILES))


def read(root: Path, data: bytes) -> dict[str, str]:
    (root / "split.csv").write_bytes(data)
    found = read_groups(root, [root / file for file in FILES])
    return {path.name: group for path, group in found.items()}


EXPECTED = {"p0.png": "G0", "p1.png": "G0", "p2.png": "G1", "p3.png": "G1"}


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.encode(),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-16-le"),
        PLAIN.encode("utf-16-be"),
        PLAIN.replace(",", ";").encode("utf-8-sig"),
        PLAIN.replace(",", "\t").encode("utf-16"),
        ("sep=;\r\n" + PLAIN.replace(",", ";")).encode(),
        PLAIN.replace("file,group", "File,Group").encode(),
        PLAIN.replace("file,group", "Filename, Part ID ").encode(),
        PLAIN.replace("/", "\\").encode(),
        PLAIN.replace("train/good/", "").encode(),
        PLAIN.replace("train", "C:\\data\\set\\train").encode(),
        PLAIN.replace("train", "/home/me/set/train").encode(),
        PLAIN.replace("train", "./train").encode(),
        PLAIN.upper().encode(),
        "\n".join(f'"{c[0]}","{c[1]}"' for c in map(str.split, PLAIN.replace(",", " ").splitlines()
                                                       )).encode(),
        PLAIN.replace(",", ",x,y,").replace("file,x,y,group", "file,note,split,group").encode(),
    ],
)  # fmt: skip
def test_tables_of_spreadsheets_are_read(tmp_path: Path, data: bytes) -> None:
    assert read(tmp_path, data) == EXPECTED


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"file\np0.png\n", "has the columns file; expected"),
        (b"bild,los\np0.png,1\n", "has the columns bild, los; expected"),
        (
            PLAIN.replace("/p", "/q").encode(),
            "names none of the pictures; expected .*p0.png, found",
        ),
        (b"file,group\n", "names none of the pictures"),
        (b"file,group\n,\n", "names none"),
        (b"PK\x03\x04rest", "workbook"),
        (b"file,group\n\0\0,G\0\n", "holds zero bytes"),
        (PLAIN.encode() + b"p0.png,G9\n", "line 6: p0.png is in group G0 above, in G9 here"),
        (b'file,group\n"p0.png,G0\n', "is no table"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, data: bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, data)
    assert "\n" not in str(caught.value)


def test_partly_matching_tables_name_what_does_not_match(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = "file;group\np0.png;A\np1.png;A\nGeh\u00e4use.png;B\np2.png;\n"
    with caplog.at_level(logging.WARNING):
        assert read(tmp_path, rows.encode("latin-1")) == {"p0.png": "A", "p1.png": "A"}
    text = caplog.text
    assert "1 rows name no picture of the set: Geh\u00e4use.png" in text
    assert "2 pictures have no row: train/good/p2.png, train/good/p3.png" in text
    assert "1 rows lack file or group: line 5" in text


def test_a_name_that_may_mean_two_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("file,group\nx.png,A\n")
    with pytest.raises(DataError, match=r"x\.png may mean a/x\.png, b/x\.png; give the path"):
        read_groups(tmp_path, [tmp_path / "a/x.png", tmp_path / "b/x.png"])


@pytest.mark.parametrize("name", ["Split.csv", "split.csv.txt", "split.xlsx"])
def test_a_table_under_another_name_is_not_overlooked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(PLAIN)
    with pytest.raises(DataError, match=r"expected split\.csv; rename it"):
        read_groups(tmp_path, [tmp_path / file for file in FILES])
