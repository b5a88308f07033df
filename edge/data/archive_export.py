"""From a raw archive to a data set in the MVTec AD layout, as training and evaluation read it."""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edge.archive.layout import PICTURE, with_suffix
from edge.archive.record import ArchivedFrame, read_frame
from edge.atomic_file import write_bytes, write_text
from edge.data.folder_layout import TEST, TRAIN, is_mask_folder
from edge.data.part_groups import SPLIT
from edge.errors import DataError, WriteError
from edge.frame import GOOD
from edge.printable_text import escaped
from edge.result import UNKNOWN_TYPE, Verdict


@dataclass
class Exported:
    """What an export wrote and what it left out.

    Attributes:
        counts: pictures by folder, such as train/good.
        by_verdict: of these, pictures whose label is the station's own verdict.
        unlabelled: frames that were undecided or in error, and whose truth is not known.
        damaged: one line for each frame whose record or picture is missing or damaged.
    """

    counts: Counter[str] = field(default_factory=Counter)
    by_verdict: int = 0
    unlabelled: int = 0
    damaged: list[str] = field(default_factory=list)


def export_frames(frames: Iterable[Path], out: Path, *, link: bool = False) -> Exported:
    """Write archived frames as a data set: good ones to train/good, others to test/<type>.

    The truth decides where it is known, else the verdict. `split.csv` says which pictures show the
    same part. The set is there as a whole or not at all.

    Args:
        frames: of the archive, as paths without suffix.
        out: folder of the set; new or empty.
        link: link the pictures instead of copying them.

    Raises:
        DataError: `out` has something in it, no frame has a label, or a link is impossible.
        WriteError: the disk does not take the set.
    """
    try:
        if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
            raise DataError(f"--out {out}: expected a new or an empty folder; choose another")
        part = out.with_name(f"{out.name}.{os.getpid()}.part")
        part.mkdir(parents=True)
        try:
            exported = _write_set(frames, part, link=link)
            part.replace(out)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise WriteError(out, error.strerror or str(error)) from error
    return exported


def _write_set(frames: Iterable[Path], out: Path, *, link: bool) -> Exported:
    exported = Exported()
    groups: list[tuple[str, str]] = []
    names = _TypeNames()
    for path in _readable(frames):
        try:
            frame = read_frame(path)
            label = _label(frame)
            if label is None:
                exported.unlabelled += 1
                continue
            data = frame.picture_bytes()
        except ValueError as error:
            exported.damaged.append(f"{path.name}: {error}")
            continue
        name = names.of(label)
        folder = f"{TRAIN}/{GOOD}" if name == GOOD else f"{TEST}/{name}"
        target = out / folder / f"{path.name}{PICTURE}"
        target.parent.mkdir(parents=True, exist_ok=True)
        if link:
            _link(with_suffix(path, PICTURE), target)
        else:
            write_bytes(target, data)
        exported.counts[folder] += 1
        exported.by_verdict += frame.part is None or frame.part.label is None
        group = escaped(frame.part.id).strip("\"' ") if frame.part else ""
        groups.append((f"{folder}/{target.name}", group or path.name))
    if not groups:
        raise DataError(
            "nothing to export: expected frames of the verdicts and times asked for, found "
            f"{exported.unlabelled} whose truth is not known and {len(exported.damaged)} damaged"
        )
    write_text(out / SPLIT, _table(groups))
    return exported


def _readable(frames: Iterable[Path]) -> Iterator[Path]:
    try:
        yield from frames
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _label(frame: ArchivedFrame) -> str | None:
    if frame.part is not None and frame.part.label is not None:
        return frame.part.label
    if frame.verdict is Verdict.FAIL or frame.is_tolerated:
        return frame.defect_type  # a harmless defect is none of what good parts look like
    return GOOD if frame.verdict is Verdict.PASS else None


class _TypeNames:
    """Makes labels the names of folders: one spelling, and none that means something else."""

    def __init__(self) -> None:
        self._known = {GOOD: GOOD}

    def of(self, label: str) -> str:
        name = re.sub(r"[^\w-]+", "_", label).strip("_") or UNKNOWN_TYPE
        if is_mask_folder(Path(name)):
            name = f"type_{name}"
        return self._known.setdefault(name.casefold(), name)


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise DataError(
                f"--link: {source} cannot be linked: {error.strerror}; leave --link out to copy"
            ) from error
        raise


def _table(groups: list[tuple[str, str]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("file", "group"))
    writer.writerows(groups)
    return stream.getvalue()
