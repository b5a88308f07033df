"""split.csv: which pictures show the same physical part, as people and spreadsheets write it.

Read as UTF-8, UTF-16 or Windows' Western code page, with commas, semicolons, tabs or bars. The
column of files may hold paths of Windows, whole paths or bare names; every row must say which
picture it means.
"""

from __future__ import annotations

import codecs
import csv
import io
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from edge.data.left_out import in_short, say_once
from edge.errors import DataError
from edge.printable_text import escaped

SPLIT = "split.csv"
DELIMITERS = ",;\t|"
FILE_COLUMNS = (
    "file", "filename", "file_name", "filepath", "file_path", "path", "image", "image_path",
    "picture", "name", "datei",
)  # fmt: skip
GROUP_COLUMNS = ("group", "group_id", "part", "part_id", "part_no", "serial", "gruppe", "teil")
# The longest split.csv: a row for each of a million pictures.
MAX_BYTES = 200_000_000


def read_groups(root: Path, pictures: Iterable[Path]) -> dict[Path, str]:
    """The group of each picture that `root`/split.csv names; none without such a file.

    Raises:
        DataError: the file cannot be read as a table, or names none of the pictures.
    """
    path = root / SPLIT
    _refuse_other_names(root)
    if not path.exists():
        return {}
    columns, rows = _table(path)
    places = _Places(root, pictures)
    groups: dict[Path, str] = {}
    strangers: list[str] = []
    halves: list[str] = []
    for number, row in rows:
        file, group = _cells(row, columns)
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


class _Places:
    """Finds pictures by what a row calls them."""

    def __init__(self, root: Path, pictures: Iterable[Path]):
        self._root = root.resolve()
        self._paths = {path: path.relative_to(root).as_posix() for path in pictures}
        self._exact = {_composed(name): path for path, name in self._paths.items()}
        self._tails: dict[str, list[Path]] = {}
        for path, name in self._paths.items():
            self._tails.setdefault(_tail(name), []).append(path)

    @property
    def example(self) -> str:
        """How a picture is called."""
        return escaped(min(self._paths.values(), default="train/good/1.png"))

    def without(self, groups: dict[Path, str]) -> list[str]:
        """Names of the pictures that have no group."""
        return [name for path, name in self._paths.items() if path not in groups]

    def find(self, table: Path, number: int, file: str) -> Path | None:
        """The picture that a row means, None if there is no such picture.

        Raises:
            DataError: the row may mean several.
        """
        name = _composed(file.replace("\\", "/")).removeprefix("./")
        if name in self._exact:
            return self._exact[name]
        wanted = name.casefold().split("/")
        fitting = []
        for path in self._tails.get(wanted[-1], ()):
            own = _composed(self._paths[path]).casefold().split("/")
            shorter = min(len(own), len(wanted))
            if own[-shorter:] == wanted[-shorter:]:
                fitting.append(path)
        if len(fitting) > 1:
            both = in_short([self._paths[path] for path in fitting])
            raise DataError(
                f"{table}: line {number}: {escaped(file)} may mean {both}; give the path from the "
                "data folder"
            )
        return fitting[0] if fitting else None


def _tail(name: str) -> str:
    return _composed(name).casefold().rsplit("/", 1)[-1]


def _composed(name: str) -> str:
    """One spelling of accents: file systems and spreadsheets differ in theirs."""
    return unicodedata.normalize("NFC", name.strip())


def _refuse_other_names(root: Path) -> None:
    others = [p.name for p in root.iterdir() if p.name.casefold() == SPLIT and p.name != SPLIT]
    others += [name for name in (f"{SPLIT}.txt", "split.xlsx") if (root / name).is_file()]
    if others and not (root / SPLIT).exists():
        raise DataError(f"{root / others[0]}: expected {SPLIT}; rename it, or save it as CSV")


def _table(path: Path) -> tuple[tuple[int, int], list[tuple[int, list[str]]]]:
    """Places of the two columns, and the rows with their line numbers."""
    text = _text(path)
    # Excel's own way to say the delimiter.
    first, _, rest = text.partition("\n")
    skipped = 0
    if first.strip().strip('"').casefold().startswith("sep="):
        text, skipped = rest, 1
    header = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=header.count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        lines = [(reader.line_num + skipped, row) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise _problem(path, f"is no table ({error})") from error
    if not lines:
        raise _problem(path, "is empty")
    names = [cell.strip().casefold().replace(" ", "_").replace("-", "_") for cell in lines[0][1]]
    places = [[names.index(n) for n in known if n in names] for known in _KNOWN]
    if not all(places):
        raise _problem(path, f"has the columns {in_short(lines[0][1])}")
    return (places[0][0], places[1][0]), lines[1:]


_KNOWN = (FILE_COLUMNS, GROUP_COLUMNS)


def _cells(row: list[str], columns: tuple[int, int]) -> tuple[str, str]:
    file, group = (row[i].strip().strip("\"'").strip() if i < len(row) else "" for i in columns)
    return file, group


def _text(path: Path) -> str:
    if not path.is_file():
        raise _problem(path, "is not a regular file")
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise _problem(path, f"cannot be read ({error.strerror})") from error
    if len(data) > MAX_BYTES:
        raise _problem(path, f"is larger than {MAX_BYTES} bytes")
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise _problem(path, "is a workbook of a spreadsheet")
    try:
        text = data.decode(_encoding(data))
    except UnicodeDecodeError as error:
        raise _problem(path, f"cannot be decoded ({error.reason})") from error
    if "\0" in text:
        raise _problem(path, "holds zero bytes")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _encoding(data: bytes) -> str:
    if data.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # Without a mark: every second byte of Western text is zero.
    if data[1:2] == b"\0":
        return "utf-16-le"
    if data[:1] == b"\0":
        return "utf-16-be"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _problem(path: Path, found: str) -> DataError:
    return DataError(
        f"{path}: {found}; expected a CSV table with the columns file and group; correct it or "
        "take it away"
    )
