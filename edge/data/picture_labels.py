"""labels.csv: which pictures of a folder are OK, and which are not, as a station or a person lists.

Columns file and label, and type if it is known. In a flat folder the list alone says what teaches
as good; beside the folders of the MVTec layout it may only agree with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from edge.data.folder_layout import TEST, TRAIN, Layout
from edge.data.left_out import in_short, say_once
from edge.data.picture_table import (
    FILE_COLUMNS,
    Columns,
    PicturePlaces,
    find_table,
    read_rows,
)
from edge.errors import DataError
from edge.frame import GOOD
from edge.printable_text import escaped

LABELS = "labels.csv"
LABEL_COLUMNS = ("label", "result", "verdict", "judgement", "ok_nok", "status", "urteil")
TYPE_COLUMNS = ("type", "defect", "defect_type", "class", "reason", "fehler", "fehlerart")
COLUMNS = Columns(
    {"file": FILE_COLUMNS, "label": LABEL_COLUMNS, "type": TYPE_COLUMNS},
    "file, label (OK or NOK) and, if known, type",
    optional=frozenset({"type"}),
)
# 0 and 1 are left out: some write 1 for good parts, others for bad ones.
GOOD_WORDS = frozenset({"ok", "good", "pass", "passed", "io", "i.o", "i.o.", "gut", "accept"})
BAD_WORDS = frozenset(
    {"nok", "not ok", "not_ok", "ng", "bad", "fail", "failed", "nio", "n.i.o", "n.i.o.", "schlecht",
     "reject", "defect", "defective"}
)  # fmt: skip
# The type of defects whose row names none.
UNNAMED = "defect"


def with_labels(root: Path, layout: Layout) -> Layout:
    """The layout as labels.csv in `root` has it; the same without such a file.

    Raises:
        DataError: the file cannot be read, a label is neither OK nor NOK, or it contradicts
            itself or the folders.
    """
    listed = layout.train + tuple(path for paths in layout.test.values() for path in paths)
    labels = read_labels(root, listed)
    if labels is None:
        return layout
    if any((root / name).is_dir() for name in (TRAIN, TEST)):
        _check_folders(root, layout, labels)
        return layout
    if unlisted := [path.name for path in listed if path not in labels]:
        say_once(
            f"{root / LABELS}: {len(unlisted)} pictures have no row and are left out: "
            f"{in_short(unlisted)}"
        )
    types = sorted(set(labels.values()) - {GOOD})
    return replace(
        layout,
        train=tuple(path for path in layout.train if labels.get(path) == GOOD),
        test={name: tuple(p for p in layout.train if labels.get(p) == name) for name in types},
    )


def read_labels(root: Path, pictures: Iterable[Path]) -> dict[Path, str] | None:
    """`good` or the type of each picture that `root`/labels.csv names; None without such a file.

    Raises:
        DataError: see with_labels.
    """
    path = find_table(root, LABELS)
    if path is None:
        return None
    places = PicturePlaces(root, pictures)
    labels: dict[Path, str] = {}
    strangers: list[str] = []
    for row in read_rows(path, COLUMNS):
        file = row.cells["file"]
        label = _label(path, row.line, row.cells["label"], row.cells["type"])
        if not file:
            raise DataError(f"{path}: line {row.line}: names no file; correct it")
        picture = places.find(path, row.line, file)
        if picture is None:
            strangers.append(file)
        elif labels.setdefault(picture, label) != label:
            raise DataError(
                f"{path}: line {row.line}: {escaped(file)} is {escaped(labels[picture])} above, "
                f"{escaped(label)} here; give it one label"
            )
    if not labels:
        raise DataError(
            f"{path}: names none of the pictures; expected files such as {places.example}, found "
            f"{in_short(strangers) or 'no rows'}; correct it or take it away"
        )
    if strangers:
        say_once(f"{path}: {len(strangers)} rows name no picture of the set: {in_short(strangers)}")
    return labels


def _label(path: Path, line: int, word: str, kind: str) -> str:
    plain = word.casefold()
    if plain in GOOD_WORDS:
        if kind and kind.casefold() not in GOOD_WORDS | {"-", "none"}:
            raise DataError(
                f"{path}: line {line}: is {escaped(word)} and has the type {escaped(kind)}; keep "
                "one of them"
            )
        return GOOD
    if plain not in BAD_WORDS:
        raise DataError(
            f"{path}: line {line}: expected OK or NOK, found {escaped(word) or 'nothing'}; correct "
            "it"
        )
    named = UNNAMED if kind in ("", "-") else kind
    if named.casefold() in GOOD_WORDS or "/" in named or "\\" in named:
        raise DataError(
            f"{path}: line {line}: expected the name of a defect type, found {escaped(kind)}"
        )
    return named


def _check_folders(root: Path, layout: Layout, labels: dict[Path, str]) -> None:
    folders = dict.fromkeys(layout.train, GOOD)
    folders |= {path: label for label, paths in layout.test.items() for path in paths}
    for path, label in labels.items():
        lies_in = folders[path]
        if (label == GOOD) != (lies_in == GOOD) or label not in (lies_in, UNNAMED):
            raise DataError(
                f"{root / LABELS}: {path.relative_to(root)} is {escaped(label)} by its row; move "
                "it, or correct the row"
            )
