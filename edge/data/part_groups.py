"""split.csv: which pictures show the same physical part."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edge.data.left_out import in_short, say_once
from edge.data.picture_table import (
    FILE_COLUMNS,
    Columns,
    PicturePlaces,
    find_table,
    read_rows,
)
from edge.errors import DataError
from edge.printable_text import escaped

SPLIT = "split.csv"
GROUP_COLUMNS = ("group", "group_id", "part", "part_id", "part_no", "serial", "gruppe", "teil")
COLUMNS = Columns({"file": FILE_COLUMNS, "group": GROUP_COLUMNS}, "file and group")


def read_groups(root: Path, pictures: Iterable[Path]) -> dict[Path, str]:
    """The group of each picture that `root`/split.csv names; none without such a file.

    Raises:
        DataError: the file cannot be read as a table, or names none of the pictures.
    """
    path = find_table(root, SPLIT)
    if path is None:
        return {}
    places = PicturePlaces(root, pictures)
    groups: dict[Path, str] = {}
    strangers: list[str] = []
    halves: list[str] = []
    for row in read_rows(path, COLUMNS):
        number, file, group = row.line, row.cells["file"], row.cells["group"]
        if not file or not group:
            halves += [f"line {number}"] if file or group else []
            continue
        picture = places.find(path, number, file)
        if picture is None:
            strangers.append(file)
        elif groups.setdefault(picture, group) != group:
            raise DataError(
                f"{path}: line {number}: {escaped(file)} is in group {escaped(groups[picture])} "
                f"above, in {escaped(group)} here; give it one group"
            )
    if not groups:
        found = in_short(strangers or halves) or "no rows"
        raise DataError(
            f"{path}: names none of the pictures; expected files such as {places.example}, found "
            f"{found}; correct it or take it away"
        )
    if halves:
        say_once(f"{path}: {len(halves)} rows lack file or group: {in_short(halves)}")
    if strangers:
        say_once(f"{path}: {len(strangers)} rows name no picture of the set: {in_short(strangers)}")
    if absent := places.without(groups):
        say_once(f"{path}: {len(absent)} pictures have no row: {in_short(absent)}")
    return groups
