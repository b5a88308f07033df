"""Tables that say something of pictures, as people and spreadsheets write them.

Read as UTF-8, UTF-16 or Windows' Western code page, with commas, semicolons, tabs or bars. The
column of files may hold paths of Windows, whole paths or bare names; every row must say which
picture it means.
"""

from __future__ import annotations

import codecs
import csv
import io
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.data.left_out import in_short
from edge.errors import DataError
from edge.printable_text import escaped

DELIMITERS = ",;\t|"
FILE_COLUMNS = (
    "file", "filename", "file_name", "filepath", "file_path", "path", "image", "image_path",
    "picture", "name", "datei",
)  # fmt: skip
# The longest table: a row for each of a million pictures.
MAX_BYTES = 200_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line in the file, and its cells by column; "" where a cell is missing."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table: by name all headings that it may have.

    `optional` ones may lack; `advice` names those that a table needs, for people.
    """

    names: Mapping[str, Sequence[str]]
    advice: str
    optional: frozenset[str] = frozenset()


def find_table(root: Path, name: str) -> Path | None:
    """The table `name` below `root`, None without one.

    Raises:
        DataError: there is one under a name that is not read.
    """
    path = root / name
    if path.exists():
        return path
    others = [p.name for p in root.iterdir() if p.name.casefold() == name and p.name != name]
    book = Path(name).with_suffix(".xlsx").name
    others += [other for other in (f"{name}.txt", book) if (root / other).is_file()]
    if others:
        raise DataError(f"{root / others[0]}: expected {name}; rename it, or save it as CSV")
    return None


def read_rows(path: Path, columns: Columns) -> list[Row]:
    """The rows of a table.

    Raises:
        DataError: the file cannot be read as a table with these columns.
    """
    text = _text(path, columns)
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
        raise _problem(path, f"is no table ({error})", columns) from error
    if not lines:
        raise _problem(path, "is empty", columns)
    headings = [cell.strip().casefold().replace(" ", "_").replace("-", "_") for cell in lines[0][1]]
    places: dict[str, int] = {}
    for name, known in columns.names.items():
        found = [headings.index(heading) for heading in known if heading in headings]
        if found:
            places[name] = found[0]
        elif name not in columns.optional:
            raise _problem(path, f"has the columns {in_short(lines[0][1])}", columns)
    return [
        Row(number, {name: _cell(row, places.get(name)) for name in columns.names})
        for number, row in lines[1:]
    ]


class PicturePlaces:
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


def _cell(row: list[str], place: int | None) -> str:
    if place is None or place >= len(row):
        return ""
    return row[place].strip().strip("\"'").strip()


def _text(path: Path, columns: Columns) -> str:
    if not path.is_file():
        raise _problem(path, "is not a regular file", columns)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise _problem(path, f"cannot be read ({error.strerror})", columns) from error
    if len(data) > MAX_BYTES:
        raise _problem(path, f"is larger than {MAX_BYTES} bytes", columns)
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise _problem(path, "is a workbook of a spreadsheet", columns)
    try:
        text = data.decode(_encoding(data))
    except UnicodeDecodeError as error:
        raise _problem(path, f"cannot be decoded ({error.reason})", columns) from error
    if "\0" in text:
        raise _problem(path, "holds zero bytes", columns)
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


def _problem(path: Path, found: str, columns: Columns) -> DataError:
    return DataError(
        f"{path}: {found}; expected a CSV table with the columns {columns.advice}; correct it or "
        "take it away"
    )
