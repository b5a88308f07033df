"""Scales of branches, map and score on good parts that nothing learned from, and their scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.data.frames import InputShape, input_batches
from edge.data.image_set import Sample
from edge.methods.inp_former.detector import Detector
from edge.networks.anomaly_map import good_scale
from edge.training.feature_cache import extract
from edge.training.run_folder import Calibration

JUDGE_BATCH = 8
# Two scores are on one scale where their medians and these quantiles over good parts are equal.
HIGH_RANK = 0.95


@torch.no_grad()
def calibrate(
    detector: Detector,
    samples: Sequence[Sample],
    shape: InputShape,
    advance: Callable[[int], None],
) -> tuple[Detector, Calibration]:
    """Fix the scales on held-out good parts, then score those parts.

    The branches of the published map chain have no scales: they stay as they are. Features come
    from the pictures, not from a half-precision cache: the threshold will stand on one of these
    very scores.

    Returns:
        The detector with its scales, and its scores.
    """
    branch_maps, distances = [], []
    for inputs in input_batches(samples, shape, JUDGE_BATCH):
        groups = extract(detector, inputs)
        branch_maps.append(detector.branch_maps(groups))
        distances.append(detector.image_distance(groups))
        advance(len(inputs) // shape.tiles)
    maps = torch.cat(branch_maps)
    image_distances = None
    if detector.image is not None:
        image_distances = torch.cat([each for each in distances if each is not None])
    return calibrate_on(detector, maps, image_distances, samples, shape.tiles)


@torch.no_grad()
def calibrate_on(
    detector: Detector,
    maps: Tensor,
    image_distances: Tensor | None,
    samples: Sequence[Sample],
    tiles: int,
    typical: NDArray[np.intp] | None = None,
) -> tuple[Detector, Calibration]:
    """As `calibrate`, from what is already known of the good parts.

    Args:
        detector: its branches and fusion weights are final.
        maps: (n, K, h, w) branch maps, n counting tiles, by detectors that did not learn from the
            pictures.
        image_distances: (n,) of the image branch, if there is one.
        samples: the pictures.
        tiles: of a picture.
        typical: rows of `maps` that the scales come from; None takes all. All are scored.
    """
    rows = slice(None) if typical is None else torch.from_numpy(typical)
    some = None if image_distances is None else image_distances[rows]
    detector = scaled(detector, maps[rows], some)
    judged = detector.judge(maps, image_distances)
    scores = judged.score.reshape(len(samples), tiles).amax(dim=1)
    return detector, Calibration(
        files=tuple(sample.path.name for sample in samples),
        groups=tuple(sample.group for sample in samples),
        scores=tuple(float(score) for score in scores),
    )


def scaled(detector: Detector, maps: Tensor, image_distances: Tensor | None = None) -> Detector:
    """Return the detector with all scales from good frames.

    Args:
        detector: its branches and fusion weights are final.
        maps: (n, K, h, w) branch maps.
        image_distances: (n,) of the image branch, if there is one.
    """
    if detector.settings.map.chain == "calibrated":
        detector = with_branch_scales(detector, maps)
    detector = detector.replaced(score_offset=score_offset(detector, maps))
    if detector.image is None or image_distances is None:
        return detector
    found = rescale(detector.judge(maps).score, image_distances)
    return detector.replaced(image=detector.image.changed(rescale=found))


def with_branch_scales(detector: Detector, maps: Tensor) -> Detector:
    """Return the detector with scales of branches and pre-label map from (n, K, h, w) maps."""
    offset, scale = good_scale(maps)
    detector = detector.replaced(branches=detector.branches.changed(offset=offset, scale=scale))
    return detector.replaced(prelabel_rescale=prelabel_rescale(detector, maps))


def prelabel_rescale(detector: Detector, maps: Tensor) -> Tensor | None:
    """Offset and slope that bring the pre-label map to the scale of today's map, (2,).

    None without such a map. `maps` are (n, K, h, w) branch maps of good frames.
    """
    prelabel_weight = detector.branches.prelabel_weight
    if prelabel_weight is None:
        return None
    values = detector.branches.normalized(maps)

    def score(weight: Tensor) -> Tensor:
        for_map, for_score = detector.weighted(values, weight)
        if detector.grid_top is None:
            return detector.map_top(detector.smooth(for_map))
        return detector.grid_top(for_score)

    return rescale(score(detector.branches.weight), score(prelabel_weight))


def score_offset(detector: Detector, maps: Tensor) -> Tensor | None:
    """Offset that brings scores read from the grid to the scale of maps, ().

    None where scores are read from the map. Medians over the good frames of `maps` (n, K, h, w) are
    equal afterwards: a threshold on scores then also tells which places of a map are anomalous. An
    offset without a slope: one picture is enough to find it (docs/adr/0017).
    """
    if detector.grid_top is None:
        return None
    for_map, for_score = detector.fused(maps)
    on_maps, on_grids = detector.map_top(detector.smooth(for_map)), detector.grid_top(for_score)
    return on_maps.median() - on_grids.median()


def rescale(targets: Tensor, values: Tensor) -> Tensor:
    """Offset and slope (2,) after which `values` have the median and high quantile of `targets`."""
    (low, high), (middle, most) = (
        (each.median(), each.quantile(HIGH_RANK)) for each in (targets, values)
    )
    slope = (high - low) / (most - middle).clamp_min(1e-6)
    return torch.stack([low - slope * middle, slope])
