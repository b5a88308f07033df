"""Which pictures lie where in a data folder, in the MVTec AD layout or flat, and what else.

Files are taken as the line takes them: regular, not hidden, with a picture's suffix. Names that
differ from the layout's only by case are refused: `Good` would silently become a defect type.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edge.data.left_out import LeftOut
from edge.errors import DataError
from edge.frame import GOOD
from edge.picture_file import SUFFIXES, is_picture
from edge.printable_text import escaped

TRAIN, TEST = "train", "test"
# Folders that hold masks, however their names are written.
MASK_FOLDERS = frozenset({"ground_truth", "groundtruth", "gt", "mask", "masks", "segmentation"})
# What systems leave behind beside files whose names begin with a dot.
_SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found"})


@dataclass(frozen=True, slots=True)
class Layout:
    """Pictures of a data folder, sorted by name: good ones to train on, test ones by label."""

    train: tuple[Path, ...]
    test: dict[str, tuple[Path, ...]]


def read_layout(root: Path, left_out: LeftOut) -> Layout:
    """List the pictures below `root`, and note what is left out.

    Raises:
        DataError: a name differs from the layout's by case, or there are no pictures.
    """
    folders = _folders(root)
    _refuse_other_case(root, [path.name for path in folders], (TRAIN, TEST))
    is_layout = any(path.name in (TRAIN, TEST) for path in folders)
    if not is_layout:
        train = pictures_in(root, left_out, is_root=True)
        test: dict[str, tuple[Path, ...]] = {}
    else:
        train = _train(root / TRAIN, left_out)
        test = _test(root / TEST, left_out)
        for path in sorted(root.iterdir()):
            if path.is_file() and is_picture(path.name):
                left_out.add("pictures outside of train/good and test/<type>", path)
    for path in folders:
        is_read = is_layout and path.name in (TRAIN, TEST)
        if not (is_read or is_mask_folder(path)):
            _note_folder(path, left_out)
    if not train and not any(test.values()):
        raise DataError(
            f"--data {root}: expected train/good and test/<type> folders, or pictures of good "
            f"parts in the folder itself ({', '.join(sorted(SUFFIXES))}); found neither"
            + "".join(f"; left out {line}" for line in left_out.lines())
        )
    for path in (*train, *(path for pictures in test.values() for path in pictures)):
        _refuse_other_encoding(root, str(path.relative_to(root)))
    _refuse_other_encoding(root, root.resolve().name)
    return Layout(tuple(train), test)


def pictures_in(folder: Path, left_out: LeftOut, *, is_root: bool = False) -> tuple[Path, ...]:
    """The pictures in `folder`, sorted; everything else in it is noted.

    Of `root` itself only what may be meant as a picture is noted: documents lie there, too.
    """
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if not is_root and not is_mask_folder(path):
                _note_folder(path, left_out)
        elif is_hidden(path):
            if not is_root or is_picture(path.name.lstrip("._")):
                left_out.add("hidden files", path)
        elif not is_picture(path.name):
            if not is_root:
                left_out.add("files with no picture's suffix", path)
        elif not path.is_file():
            left_out.add("pipes, devices or broken links", path)
        else:
            found.append(path)
    return tuple(found)


def is_hidden(path: Path) -> bool:
    """A file or folder that a system left behind, not a person."""
    return path.name.startswith(".") or path.name in _SYSTEM_FOLDERS


def is_mask_folder(path: Path) -> bool:
    """A folder of masks by its name: ground_truth, masks and what else people write."""
    return path.name.casefold().replace("-", "_").replace(" ", "_") in MASK_FOLDERS


def _train(folder: Path, left_out: LeftOut) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    kinds = _folders(folder)
    _refuse_other_case(folder, [kind.name for kind in kinds], (GOOD,))
    for kind in kinds:
        if kind.name != GOOD:
            _note_folder(kind, left_out)
    _note_stray(folder, left_out)
    return pictures_in(folder / GOOD, left_out) if (folder / GOOD).is_dir() else ()


def _test(folder: Path, left_out: LeftOut) -> dict[str, tuple[Path, ...]]:
    if not folder.is_dir():
        return {}
    kinds = [kind for kind in _folders(folder) if not is_mask_folder(kind)]
    for kind in [kind for kind in kinds if is_hidden(kind)]:
        _note_folder(kind, left_out)
        kinds.remove(kind)
    names = [kind.name for kind in kinds]
    _refuse_other_case(folder, names, (GOOD,))
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(_plain(name), name)
        if other != name:
            raise DataError(
                f"{folder}: {other} and {name} differ by case only; join them, or give the types "
                "different names"
            )
    _note_stray(folder, left_out)
    return {kind.name: pictures_in(kind, left_out) for kind in kinds}


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _plain(name: str) -> str:
    return name.strip().casefold()


def _refuse_other_case(folder: Path, names: list[str], expected: tuple[str, ...]) -> None:
    for name in names:
        if name not in expected and _plain(name) in expected:
            raise DataError(f"{folder / name}: expected the name {_plain(name)!r}; rename it")


def _refuse_other_encoding(root: Path, name: str) -> None:
    """Names go into records, bundles and reports, which are UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"--data {escaped(str(root))}: expected file names in UTF-8, found {escaped(name)}; "
            "rename it, or convert all names with convmv"
        ) from None


def _note_stray(folder: Path, left_out: LeftOut) -> None:
    for path in sorted(folder.iterdir()):
        if not path.is_dir() and is_picture(path.name):
            left_out.add("pictures outside of train/good and test/<type>", path)


def _note_folder(folder: Path, left_out: LeftOut) -> None:
    """Note a folder that is not read, with the number of pictures in it and below, if any."""
    count = 0
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(Path(name))]
        count += sum(is_picture(name) for name in files)
    if is_hidden(folder):
        left_out.add("hidden folders", folder)
    elif count:
        kind = "picture" if count == 1 else "pictures"
        left_out.add("folders that are not read", folder, f" ({count} {kind})")
