"""Which files of a run folder are ours, and how a run takes the place of another.

Nothing is deleted that this package did not write: a folder is a run only if its run.yaml says so,
and of a run only files go that have the name and place of one of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from edge.data.left_out import in_short, say_once
from edge.errors import TrainingError
from edge.methods.run import RECORD, read_record

# Where a run lies while another is begun in its place.
ASIDE = ".previous-run"
_OURS = re.compile(
    r"(run\.yaml|model\.safetensors|calibration\.json|frames\.npz|log\.jsonl|suspicious\.csv|"
    r"update\.json|frozen_test\.csv|"
    r"(folds/\d+/)?(checkpoint\.safetensors|log\.jsonl)|out_of_fold\.npz|features/(.+/)?(group\d+\.f16|ids\.u8|key\.json)|"
    r"golden/\d\d_\w+\.png|shots/\d+_\d\d\.png|shifted/\d{5}_of_.+\.png)(\.[0-9a-f]{8}\.part)?"
)
_FIRST_LINE = re.compile(rb"created_by: '?edge-inspection\b")


def is_run(folder: Path) -> bool:
    """Tell whether this package wrote a run into `folder`."""
    try:
        with (folder / RECORD).open("rb") as stream:
            return _FIRST_LINE.match(stream.read(100)) is not None
    except OSError:
        return False


def is_instant(folder: Path) -> bool:
    """Tell whether `folder` holds a run that was made at once, for a training to take its place."""
    if not is_run(folder):
        return False
    return read_record(folder).instant is not None


def check_place(out: Path, data: Sequence[Path], *, fresh: bool) -> None:
    """Refuse a run folder that holds what is not of a run.

    Args:
        out: the run folder.
        data: folders that the run reads.
        fresh: what `out` holds is to be deleted.

    Raises:
        TrainingError: it holds, or is, something else.
    """
    foreign = sorted(p.relative_to(out) for p in _entries(out) if not _is_ours(p, out))
    if out.is_dir() and any(out.iterdir()) and not is_run(out) and (fresh or foreign):
        if fresh:
            raise TrainingError(f"--out {out}: is not a run; not deleted")
        raise TrainingError(
            f"--out {out}: is not empty and no run ({in_short([str(p) for p in foreign])}); choose "
            "another folder"
        )
    place = out.resolve()
    for folder in data:
        read = folder.expanduser().resolve()
        if place == read or place in read.parents:
            raise TrainingError(
                f"--out {out}: holds {folder}, which is to be read; choose another folder"
            )


def delete_run(folder: Path) -> None:
    """Delete a run's files; what else lies in the folder stays, and is named.

    Raises:
        TrainingError: the folder is no run.
        OSError: a file cannot be deleted.
    """
    if not is_run(folder):
        raise TrainingError(f"--out {folder}: is not a run; not deleted")
    _delete(folder)
    if left := [str(path.relative_to(folder)) for path in _entries(folder)]:
        say_once(f"--out {folder}: kept {len(left)} files that are not of a run: {in_short(left)}")


@contextmanager
def in_place_of(folder: Path) -> Iterator[None]:
    """Put the run in `folder` aside until another is begun there; then delete it.

    If no other run was begun, because an option or a picture is wrong, the old one is put back.

    Raises:
        TrainingError: the folder holds something else than a run.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        yield
        return
    aside = folder / ASIDE
    if is_run(aside) and not is_run(folder):  # of a process that was killed
        _move(aside, folder)
    if not is_run(folder):
        raise TrainingError(f"--out {folder}: is not a run; not deleted")
    _move(folder, aside)
    try:
        yield
    finally:
        if (folder / RECORD).is_file():
            delete_run(aside)
        else:
            _delete(folder)
            _move(aside, folder)
        with suppress(OSError):
            aside.rmdir()


def put_in_place(run: Path, folder: Path) -> None:
    """Move the run `run` to `folder`, in place of the run there if there is one."""
    if is_run(folder):
        delete_run(folder)
    _move(run, folder)


def _move(source: Path, target: Path) -> None:
    # The record goes last: a folder with it holds all of the run.
    paths = [path for path in _entries(source) if _is_ours(path, source)]
    for path in sorted(paths, key=lambda path: path.name == RECORD):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
    _remove_empty(source)


def _delete(folder: Path) -> None:
    # The record goes last, so that a half deleted run is still known as one.
    paths = [path for path in _entries(folder) if _is_ours(path, folder)]
    for path in sorted(paths, key=lambda path: path.name == RECORD):
        path.unlink()
    _remove_empty(folder)


def _remove_empty(folder: Path) -> None:
    """Remove the folders of a run that hold nothing any more; `folder` itself stays."""
    for name in ("features", "folds", "golden", "shots", "shifted"):
        holders = [path for path in (folder / name).rglob("*") if path.is_dir()]
        for path in (*sorted(holders, reverse=True), folder / name):
            with suppress(OSError):
                path.rmdir()


def _entries(folder: Path) -> list[Path]:
    """Files and links in `folder` and below, but for a run that was put aside."""
    if not folder.is_dir():
        return []
    return [
        path
        for path in folder.rglob("*")
        if (path.is_symlink() or not path.is_dir()) and ASIDE not in path.relative_to(folder).parts
    ]


def _is_ours(path: Path, folder: Path) -> bool:
    return _OURS.fullmatch(path.relative_to(folder).as_posix()) is not None
