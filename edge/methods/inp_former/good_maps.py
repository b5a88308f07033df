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
from edge.methods.inp_former.branches import PRELABEL_PROBE, PROBE
from edge.methods.inp_former.detector import Detector

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

    @property
    def tiles(self) -> int:
        """Network inputs of a picture."""
        return len(self.maps) // len(self.shares)

    def of(self, pictures: Sequence[int]) -> GoodMaps:
        """The same of some pictures alone."""
        places = torch.tensor(pictures)[:, None] * self.tiles + torch.arange(self.tiles)
        rows = places.flatten()
        return GoodMaps(
            self.branches,
            self.maps[rows],
            None if self.distances is None else self.distances[rows],
            tuple(self.shares[place] for place in pictures),
        )

    def in_place(self, detector: Detector, maps: Tensor, picture: int) -> Tensor:
        """Branch maps (tiles, K, h, w) of a picture with those put in that are known from here.

        Args:
            detector: of this run, or one that has learned defects since.
            maps: its branch maps of the picture. That of a probe of labelled defects stays.
            picture: its place here.
        """
        own = self.maps[picture * self.tiles : (picture + 1) * self.tiles]
        first = own.shape[1] - len(self.branches) + 1  # INP-Former has a map for each group
        counts = [first if name == self.branches[0] else 1 for name in self.branches]
        known = dict(zip(self.branches, own.split(counts, 1), strict=True))
        if detector.branches.prelabel_weight is not None:  # it has a probe of labelled defects
            probe = known.pop(PROBE, None)
            if probe is not None:
                known[PRELABEL_PROBE] = probe
        theirs = maps.split([branch.maps for branch in detector.branches], 1)
        pairs = zip(detector.branches.names, theirs, strict=True)
        return torch.cat([known.get(name, values) for name, values in pairs], 1)


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
