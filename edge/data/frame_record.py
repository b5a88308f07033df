"""RUN/frames.npz: what was measured of a run's good frames. Packing learns limits from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from edge.atomic_file import write_bytes
from edge.data.image_set import Sample, read_view
from edge.errors import TrainingError
from edge.inspection.frame_statistics import CELLS, NAMES, FrameStatistics, measure

FILE = "frames.npz"


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """Statistics of good frames and the physical part of each, in one order."""

    frames: tuple[FrameStatistics, ...]
    groups: tuple[str, ...]

    def of_product(self, name: str) -> FrameRecord:
        """The frames of one product, whose groups begin with "product/"."""
        rows = [i for i, group in enumerate(self.groups) if group.startswith(f"{name}/")]
        return FrameRecord(
            tuple(self.frames[row] for row in rows), tuple(self.groups[row] for row in rows)
        )


def write_frames(folder: Path, samples: Sequence[Sample]) -> None:
    """Measure pictures of good parts, training and held-out ones, and write frames.npz.

    Raises:
        DataError: a picture is unreadable.
        WriteError: the file cannot be written.
    """
    frames = [measure(read_view(sample).pixels_bgr) for sample in samples]
    stream = BytesIO()
    np.savez_compressed(
        stream,
        sizes_wh=np.array([frame.size_wh for frame in frames], np.int32),
        values=np.stack([frame.values for frame in frames]),
        small=np.stack([frame.small for frame in frames]),
        groups=np.array([sample.group for sample in samples], np.str_),
    )
    write_bytes(folder / FILE, stream.getvalue())


def read_frames(folder: Path) -> FrameRecord | None:
    """Read frames.npz; None in runs from before it.

    Raises:
        TrainingError: it is damaged, or of a version that measured something else.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            sizes, values, small, groups = (
                arrays[name] for name in ("sizes_wh", "values", "small", "groups")
            )
        count = len(groups)
        wanted = ((count, 2), (count, len(NAMES)), (count, CELLS, CELLS, 3))
        if (sizes.shape, values.shape, small.shape) != wanted:
            raise ValueError(f"expected shapes {wanted}")
    except (OSError, ValueError, LookupError, EOFError, BadZipFile) as error:
        raise TrainingError(f"{path}: missing or damaged ({error}); train again") from error
    frames = tuple(
        FrameStatistics((int(size[0]), int(size[1])), row, picture)
        for size, row, picture in zip(sizes, values, small, strict=True)
    )
    return FrameRecord(frames, tuple(str(group) for group in groups))
