"""Which mask belongs to which picture: every common folder and name, and nothing by guessing.

Folders: ground_truth, masks and the like, with a folder per type, or none where names are unique;
or the picture's own folder. Names: the picture's own, or with `mask`, `gt` and the like before or
behind it; any picture format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from edge.data.folder_layout import TEST, is_hidden, is_mask_folder
from edge.data.left_out import LeftOut
from edge.errors import DataError
from edge.frame import GOOD
from edge.picture_file import SUFFIXES, is_picture

_WORDS = "masks?|gt|ground[_-]?truth|labels?|seg|segmentation|pixels?"
_AFTER = re.compile(rf"^(.+)[ ._-]({_WORDS})$")
_BEFORE = re.compile(rf"^({_WORDS})[ ._-](.+)$")
# Where masks of all types lie in one folder.
_ANY = ""


class MaskFiles:
    """The mask files of a data folder, by label and picture.

    Args:
        root: the data folder.
        test: its test pictures by label.
    """

    def __init__(self, root: Path, test: dict[str, tuple[Path, ...]]):
        self._root = root
        self._by_key: dict[tuple[str, str], list[Path]] = {}
        self._beside: set[Path] = set()
        self._all: dict[Path, str] = {}
        for holder in (root, root / TEST):
            for folder in _mask_folders(holder):
                self._add_folder(folder, _ANY)
        for label, pictures in test.items():
            own = root / TEST / label
            for folder in _mask_folders(own):
                self._add_folder(folder, label)
            self._add_beside(pictures, label)
        stems = [path.stem.casefold() for label, ps in test.items() if label != GOOD for path in ps]
        self._shared = {stem for stem in stems if stems.count(stem) > 1} if self._all else set()

    @property
    def is_empty(self) -> bool:
        """There is no mask at all."""
        return not self._all

    def is_mask(self, picture: Path) -> bool:
        """A file among the pictures is the mask of its neighbour."""
        return picture in self._beside

    def find(self, picture: Path, label: str) -> Path | None:
        """The mask of a picture, None if it has none.

        Raises:
            DataError: several files may be its mask, or a file may be the mask of several pictures.
        """
        stem = picture.stem.casefold()
        own = self._by_key.get((label.casefold(), stem), [])
        anywhere = self._by_key.get((_ANY, stem), [])
        if anywhere and not own and stem in self._shared:
            raise DataError(
                f"{anywhere[0]}: pictures of several types are named {picture.stem}; put masks "
                "into a folder per type, such as ground_truth/<type>"
            )
        found = own or anywhere
        if len(found) > 1:
            names = " and ".join(str(path.relative_to(self._root)) for path in found[:2])
            raise DataError(f"{picture}: {names} may both be its mask; keep one of them")
        return found[0] if found else None

    def note_unused(self, used: Iterable[Path], left_out: LeftOut) -> None:
        """Name the masks that belong to no picture; those of good parts show nothing."""
        taken = set(used)
        for path, label in self._all.items():
            if path not in taken and label != GOOD:
                left_out.add("masks without a picture", path)

    def _add_folder(self, folder: Path, label: str) -> None:
        for path in sorted(folder.iterdir()):
            if is_hidden(path):
                continue
            if not path.is_dir():
                if is_picture(path.name) and path.is_file():
                    self._add(path, label)
            elif label == _ANY:
                self._add_folder(path, _ANY if path.name.casefold() == TEST else path.name)

    def _add_beside(self, pictures: tuple[Path, ...], label: str) -> None:
        stems = {path.stem.casefold() for path in pictures}
        for path in pictures:
            if any(stem in stems for stem in _without_words(path.stem.casefold())):
                self._beside.add(path)
                self._add(path, label)

    def _add(self, path: Path, label: str) -> None:
        stem = path.stem.casefold()
        self._all[path] = label
        for key in {stem, *_without_words(stem)}:
            self._by_key.setdefault((label.casefold(), key), []).append(path)


def _mask_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and is_mask_folder(path))


def _without_words(stem: str) -> Iterator[str]:
    """A picture's stem out of its mask's, such as `7` of `7_mask` and of `7.png_mask`."""
    for pattern, group in ((_AFTER, 1), (_BEFORE, 2)):
        if match := pattern.match(stem):
            yield _bare(match[group])
    if (bare := _bare(stem)) != stem:
        yield bare


def _bare(stem: str) -> str:
    return stem[: -len(Path(stem).suffix)] if Path(stem).suffix in SUFFIXES else stem
