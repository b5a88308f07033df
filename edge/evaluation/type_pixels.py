"""Multi-type segmentation of a bundle: what the line says every pixel is, against masks by type.

A pixel is called a type where the anomaly map is above the threshold, and then by the type with the
largest share. The volume that is ranked says the same: with a = map / (map + threshold), normal has
1 - a, and a type a times its share, relative to the largest share.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.data.image_set import Sample, read_mask
from edge.evaluation.multi_type_segmentation import Segmentation, TypeRanker
from edge.frame import GOOD
from edge.inspection.type_shares import TypeShares

# Longer side at which volumes and masks meet: a volume has a map for every type.
SIDE = 128
Mask = NDArray[np.bool_]


class TypePixels:
    """Ranks the pixels of pictures that are good or have a mask of a known type.

    Close it at the end.

    Args:
        names: of the bundle's types, in the order of its graph.
        threshold: of the score, from which the line calls a pixel defective.
    """

    def __init__(self, names: tuple[str, ...], threshold: float):
        self._names = names
        self._threshold = max(threshold, 1e-6)
        self._ranker = TypeRanker((GOOD, *names))
        self._has_masks = False

    def add(
        self,
        sample: Sample,
        anomaly_map: NDArray[np.float32],
        types: TypeShares | None,
        seen: Mask,
    ) -> None:
        """Add one picture; others than those above are passed over.

        Args:
            sample: the picture.
            anomaly_map: (h, w) over the frame.
            types: of the frame; None where the line did not ask for types: they share alike.
            seen: (H, W) of the frame's proportions; other pixels count nowhere.

        Raises:
            WriteError: the folder of temporary files is full or cannot be written.
        """
        is_known = sample.mask is not None and sample.label in self._names
        if not self._names or not (sample.is_good or is_known):
            return
        size_wh = _size(seen.shape)
        level = np.maximum(_resized(anomaly_map, size_wh), 0)
        above = level / (level + self._threshold)
        shares = np.ones((len(self._names), *above.shape), np.float32)
        if types is not None:
            shares = np.stack([_resized(each, size_wh) for each in types.in_frame()])
            shares /= np.maximum(shares.max(0), 1e-9)
        volume = np.concatenate([(1 - above)[None], above * shares]).astype(np.float32)
        row = 0 if sample.is_good else 1 + self._names.index(sample.label)
        ids = np.where(read_mask(sample, size_wh), row, 0)
        counts = cv2.resize(seen.astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST) > 0
        self._ranker.add(volume[:, counts], ids[counts])
        self._has_masks |= is_known

    def segmentation(self) -> Segmentation | None:
        """The metric over all pictures; None without types or without a mask of one."""
        if not self._has_masks:
            return None
        return self._ranker.segmentation()

    def close(self) -> None:
        """Give the space on the disk back."""
        self._ranker.close()


def as_json(found: Segmentation | None) -> dict[str, Any] | None:
    """The metric as plain data."""
    if found is None:
        return None
    return {
        "side": SIDE,
        "auroc": found.auroc,
        "ap": found.ap,
        "f1": found.f1,
        "skipped": found.skipped,
        "per_type": {
            name: {"auroc": value.auroc, "ap": value.ap, "f1": value.f1}
            for name, value in found.per_type.items()
        },
    }


def _size(shape_hw: tuple[int, ...]) -> tuple[int, int]:
    shrink = min(1.0, SIDE / max(shape_hw))
    return max(1, round(shape_hw[1] * shrink)), max(1, round(shape_hw[0] * shrink))


def _resized(values: NDArray[np.float32], size_wh: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(values, size_wh, interpolation=cv2.INTER_AREA), np.float32)
