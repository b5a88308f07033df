"""RUN/out_of_fold.npz: what detectors that had not learned from them said of all good pictures.

Whatever is learned later from a cross-fitted run, such as labelled defects, finds the good parts
judged here: the finished detector has learned from all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from edge.atomic_file import write_bytes
from edge.errors import TrainingError

FILE = "out_of_fold.npz"


@dataclass(frozen=True, slots=True)
class GoodMaps:
    """Branch maps of all good pictures of a run, in the order in which it reads them.

    Attributes:
        branches: names of the branches, in the order of their maps.
        maps: (n, K, h, w) before they are normalized; n counts tiles.
        distances: (n,) of the image branch; None without one.
        shares: of the pictures.
    """

    branches: tuple[str, ...]
    maps: Tensor
    distances: Tensor | None
    shares: Sequence[int]


def write_good_maps(folder: Path, found: GoodMaps) -> None:
    """Write out_of_fold.npz, maps in half precision.

    Raises:
        WriteError: the file cannot be written.
    """
    arrays = {
        "branches": np.array(found.branches, np.str_),
        "maps": found.maps.half().numpy(),
        "shares": np.array(found.shares, np.int32),
    }
    if found.distances is not None:
        arrays["distances"] = found.distances.numpy()
    stream = BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    write_bytes(folder / FILE, stream.getvalue())


def read_good_maps(folder: Path) -> GoodMaps | None:
    """Read out_of_fold.npz; None in runs without cross-fitting.

    Raises:
        TrainingError: it is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        maps, shares = found["maps"], found["shares"]
        if maps.ndim != 4 or not len(shares) or len(maps) % len(shares):
            raise ValueError(f"expected maps of {len(shares)} pictures, found {maps.shape}")
    except (OSError, ValueError, LookupError, EOFError, BadZipFile) as error:
        raise TrainingError(f"{path}: damaged ({error}); train again") from error
    distances = found.get("distances")
    return GoodMaps(
        branches=tuple(str(name) for name in found["branches"]),
        maps=torch.from_numpy(maps.astype(np.float32)),
        distances=None if distances is None else torch.from_numpy(distances),
        shares=tuple(int(share) for share in shares),
    )
