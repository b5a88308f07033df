"""All that edge-eval measures pixel by pixel, gathered picture by picture; no map is kept."""

from __future__ import annotations

import cv2
import numpy as np

from edge.bundle.store import Bundle
from edge.data.image_set import Sample, read_mask
from edge.evaluation.metrics import NAN
from edge.evaluation.multi_type_segmentation import Segmentation
from edge.evaluation.pixel_ranking import PixelRanker, PixelRanking
from edge.evaluation.seen_pixels import SeenPixels
from edge.evaluation.type_pixels import TypePixels
from edge.inspection.inspector import Inspected
from edge.inspection.type_shares import TypeShares

# Maps and masks meet at the picture's own aspect ratio, its longer side at most this.
EVALUATION_SIDE = 512


class PixelMetrics:
    """Gathers the pixels of pictures that are good or have a mask; close it at the end.

    Args:
        bundle: gives types and threshold.
        seen: tells which pixels the bundle inspects; others count nowhere.
    """

    def __init__(self, bundle: Bundle, seen: SeenPixels):
        self._seen = seen
        self._ranker = PixelRanker()
        self._types = TypePixels(bundle.recipe.defect_types, bundle.thresholds.score.value)
        self._grounds: list[float] = []

    def add(self, sample: Sample, inspected: Inspected, types: TypeShares | None) -> None:
        """Add one picture; one without a map, or defective and without a mask, is passed over.

        Args:
            sample: the picture.
            inspected: what the line says of it.
            types: of its pixels; None where the line did not ask for types.

        Raises:
            DataError: picture or mask is unreadable, or the geometry does not fit.
            WriteError: the folder of temporary files is full or cannot be written.
        """
        if inspected.map is None or not (sample.is_good or sample.mask is not None):
            return
        frame_wh = inspected.inspection.size_wh
        size_wh = evaluation_size(*frame_wh)
        level = cv2.resize(inspected.map, size_wh, interpolation=cv2.INTER_LINEAR)
        seen = self._seen(sample, frame_wh, size_wh)
        self._ranker.add(np.asarray(level), read_mask(sample, size_wh), seen)
        self._types.add(sample, inspected.map, types, seen)
        if sample.is_good and seen.any():
            self._grounds.append(float(np.median(level[seen])))

    def ranking(self) -> PixelRanking:
        """Of all pixels; NO_PIXELS for a set without masks."""
        return self._ranker.ranking()

    def segmentation(self) -> Segmentation | None:
        """By type; None without types or without a mask of one."""
        return self._types.segmentation()

    def ground(self) -> float:
        """The map value that good parts usually show: the median of their maps' medians, or NaN."""
        return float(np.median(self._grounds)) if self._grounds else NAN

    def close(self) -> None:
        """Give the space on the disk back."""
        self._ranker.close()
        self._types.close()


def evaluation_size(width: int, height: int) -> tuple[int, int]:
    """Size at which map and mask of a picture meet."""
    shrink = min(1.0, EVALUATION_SIDE / max(width, height))
    return round(width * shrink), round(height * shrink)
