"""Which picture files a folder or a glob holds, in a stable order."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path

from edge.picture_file import is_picture
from edge.printable_text import escaped

# The masks of an MVTec data set are pictures, but not of parts.
_NOT_PARTS = "ground_truth"
_WILDCARD = re.compile(r"[*?[]")


def list_pictures(place: Path) -> tuple[Path, list[str]]:
    """Return the root folder and the pictures below it as relative posix paths.

    `place` is one picture, a folder (searched with its subfolders) or a glob (`**` too). Hidden
    files and folders, `ground_truth` folders and, in a glob, what is no picture are left out;
    links to folders are not followed, so that no circle can arise.

    Raises:
        OSError: when a folder cannot be listed.
    """
    if place.is_dir():
        root, found = place, list(_below(place))
    elif place.is_file() or not is_glob(place):
        root, found = place.parent, [place.name]
    else:
        root = _fixed_part(place)
        found = [
            Path(path).relative_to(root).as_posix()
            for path in glob.iglob(str(place), recursive=True)  # noqa: PTH207 - absolute patterns
        ]
    return root, sorted((path for path in found if _is_wanted(root, path)), key=natural)


def shown_name(path: str) -> str:
    r"""Return a path as results and messages show it: bytes outside UTF-8 as `\xe4`, one line."""
    return escaped(os.fsencode(path).decode("utf-8", "backslashreplace"))


def is_glob(place: Path) -> bool:
    """Tell whether a path that does not exist may be meant as a pattern."""
    return _WILDCARD.search(str(place)) is not None


def natural(path: str) -> tuple[list[list[str | int]], str]:
    """Sort key by folders, with numbers as numbers: part2 before part10, a/9 before b/1."""
    return [_words_and_numbers(part) for part in path.split("/")], path


def _words_and_numbers(text: str) -> list[str | int]:
    pieces = re.split(r"([0-9]+)", text)
    return [int(piece) if i % 2 else piece for i, piece in enumerate(pieces)]


def _below(folder: Path) -> Iterator[str]:
    for root, folders, files in os.walk(folder, onerror=_give_up):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            yield Path(root, name).relative_to(folder).as_posix()


def _give_up(error: OSError) -> None:
    raise error


def _is_wanted(root: Path, path: str) -> bool:
    *folders, name = path.split("/")
    return is_picture(name) and _NOT_PARTS not in folders and (root / path).is_file()


def _fixed_part(pattern: Path) -> Path:
    """Return the folder above the first wildcard."""
    fixed = []
    for part in pattern.parts:
        if _WILDCARD.search(part):
            break
        fixed.append(part)
    return Path(*fixed)
