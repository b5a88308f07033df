"""Features and id masks of labelled pictures, computed once and kept on disk while a run trains.

The backbone is frozen, so mosaics are made beforehand too: as many as one epoch shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import read_view
from edge.data.labelled_pictures import Ids, Image, TypedPicture, mosaic, read_ids
from edge.methods.multiads.network import MultiAdsDetector
from edge.networks.features import Groups
from edge.training.feature_cache import FeatureCache
from edge.training.mapped_arrays import MappedArrays

BATCH = 8


@dataclass(frozen=True, slots=True)
class TypedInputs:
    """Network inputs by index: first the pictures in order, then the mosaics.

    Attributes:
        features: frozen features.
        ids: (n, h, w) uint8 bank rows at the map's size.
        products: (n,) number of each input's product.
        pictures: how many of the n are single pictures.
    """

    features: FeatureCache
    ids: NDArray[np.uint8]
    products: NDArray[np.int64]
    pictures: int

    def batch(self, indices: Sequence[int]) -> tuple[Groups, Tensor, Tensor]:
        """Read inputs: groups (B, N, C_g) float32, ids (B, h, w) and products (B,) int64."""
        rows = np.asarray(indices)
        return (
            self.features.batch(indices),
            torch.from_numpy(self.ids[rows].astype(np.int64)),
            torch.from_numpy(self.products[rows]),
        )


def draw_mosaics(
    pictures: Sequence[TypedPicture], share: float, rng: np.random.Generator
) -> tuple[tuple[int, ...], ...]:
    """Four pictures of one product for each mosaic, `share` of the pictures in number."""
    mosaics = []
    for _ in range(round(share * len(pictures))):
        product = pictures[int(rng.integers(len(pictures)))].product
        same = [index for index, picture in enumerate(pictures) if picture.product == product]
        mosaics.append(tuple(int(index) for index in rng.choice(same, 4)))
    return tuple(mosaics)


def prepare(
    folder: Path,
    detector: MultiAdsDetector,
    pictures: Sequence[TypedPicture],
    mosaics: Sequence[tuple[int, ...]],
    identity: str,
    advance: Callable[[int], None],
) -> TypedInputs:
    """Compute features and ids, or reuse those in `folder` if nothing changed.

    `identity` names the backbone, its weights and its scales; `advance` is called with the number
    of inputs done since the last call.

    Raises:
        DataError: a picture or mask is unreadable.
        WriteError: the disk is full or cannot be written.
    """
    count = len(pictures) + len(mosaics)
    files: dict[str, tuple[type, tuple[int, ...]]] = {
        f"group{index}.f16": (np.float16, (count, *shape))
        for index, shape in enumerate(detector.cached_shapes)
    }
    files["ids.u8"] = (np.uint8, (count, *detector.map_hw))
    kept = MappedArrays(folder, _key(pictures, mosaics, identity), files)
    *arrays, ids = kept.arrays
    if kept.is_current:
        advance(count)
    else:
        done = 0
        for images, masks in _batches(_inputs(pictures, mosaics, detector)):
            with torch.no_grad():
                groups = detector.cacheable(torch.from_numpy(images))
            for array, group in zip(arrays, groups, strict=True):
                array[done : done + len(images)] = group.half().numpy()
            ids[done : done + len(images)] = masks
            done += len(images)
            advance(len(images))
        kept.finish()
    of_mosaics = [pictures[chosen[0]].product for chosen in mosaics]
    products = np.array([picture.product for picture in pictures] + of_mosaics, np.int64)
    return TypedInputs(FeatureCache(arrays), ids, products, len(pictures))


@torch.no_grad()
def extract(detector: MultiAdsDetector, images: NDArray[np.uint8]) -> Groups:
    """Frozen features of (B, H, W, 3) uint8 RGB network inputs."""
    return detector.extract(torch.from_numpy(images)).groups


def _inputs(
    pictures: Sequence[TypedPicture],
    mosaics: Sequence[tuple[int, ...]],
    detector: MultiAdsDetector,
) -> Iterator[tuple[Image, Ids]]:
    shape = InputShape(detector.settings.size_wh)
    map_wh = (detector.map_hw[1], detector.map_hw[0])

    def single(picture: TypedPicture) -> tuple[Image, Ids]:
        pixels = network_inputs(read_view(picture.sample).pixels_bgr, shape)[0]
        return pixels, read_ids(picture, map_wh)

    for picture in pictures:
        yield single(picture)
    for chosen in mosaics:
        images, masks = zip(*(single(pictures[index]) for index in chosen), strict=True)
        yield mosaic(images, masks)


def _batches(
    inputs: Iterator[tuple[Image, Ids]],
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    waiting: list[tuple[Image, Ids]] = []
    for item in inputs:
        waiting.append(item)
        if len(waiting) == BATCH:
            yield np.stack([w[0] for w in waiting]), np.stack([w[1] for w in waiting])
            waiting = []
    if waiting:
        yield np.stack([w[0] for w in waiting]), np.stack([w[1] for w in waiting])


def _key(
    pictures: Sequence[TypedPicture], mosaics: Sequence[tuple[int, ...]], identity: str
) -> dict[str, str]:
    digest = hashlib.sha256()
    for picture in pictures:
        status = picture.sample.path.stat()
        digest.update(
            f"{picture.sample.path.name} {picture.row} {picture.product} {status.st_size} "
            f"{status.st_mtime_ns}\n".encode()
        )
    digest.update(repr(mosaics).encode())
    return {"backbone": identity, "pictures": digest.hexdigest()}
