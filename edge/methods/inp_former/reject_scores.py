"""Scores of good parts before and after false rejects, by detectors with the same features."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.methods.inp_former.branches import MEMORY, PROBE
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.known_maps import KnownMaps, place_of
from edge.methods.inp_former.memory_bank import MemoryBank
from edge.networks.features import Groups
from edge.training.feature_cache import extract


def scores_of(
    detectors: Sequence[Detector],
    samples: Sequence[Sample],
    shape: InputShape,
    advance: Callable[[int], None],
    known: KnownMaps | None,
) -> tuple[Tensor, list[list[Tensor]]]:
    """Scores of pictures, (samples, detectors), and their maps (t, K, h, w) by detector.

    The first detector has learned nothing new. All have the same features. Maps are kept only where
    some are known.
    """
    rows = []
    maps: list[list[Tensor]] = [[] for _ in detectors]
    for index, sample in enumerate(samples):
        groups = extract(detectors[0], network_inputs(read_view(sample).pixels_bgr, shape))
        row = []
        for number, detector in enumerate(detectors):
            if known is None:
                row.append(score_of(detector, groups))
                continue
            own = known.maps[index]
            if number:
                own = known_with_rejects(detectors[0], detector, groups, own)
            maps[number].append(own)
            row.append(float(detector.judge(own, known.distance(index)).score.amax()))
        rows.append(row)
        advance(1)
    return torch.tensor(rows), maps


def known_with_rejects(before: Detector, taught: Detector, groups: Groups, known: Tensor) -> Tensor:
    """Known maps (t, K, h, w) of a good part after false rejects: only they are new to it."""
    maps = known.clone()
    if (
        PROBE in taught.branches
        and taught.branches[PROBE].scorer is not before.branches[PROBE].scorer
    ):
        place = place_of(taught.branches, PROBE)
        maps[:, place] = taught.branch_maps(groups)[:, place]
    count = taught.settings.branches.memory_rejects
    if count:
        memory = taught.branches[MEMORY].scorer
        assert isinstance(memory, MemoryBank)  # noqa: S101 - narrowing only
        reserve = MemoryBank(memory.bank[-count:], memory.neighbourhood)
        nearest = reserve(taught.unit_groups(torch.cat(groups, -1)))
        grid = nearest.unflatten(-1, taught.features.grid_hw).unsqueeze(1)
        grid = nn.functional.interpolate(grid, taught.grid_hw, mode="bilinear", align_corners=False)
        place = place_of(taught.branches, MEMORY)
        maps[:, place] = torch.minimum(maps[:, place], grid[:, 0])
    return maps


def score_of(detector: Detector, groups: Groups) -> float:
    """Score of one picture from the features of its network inputs."""
    judged = detector.judge(detector.branch_maps(groups), detector.image_distance(groups))
    return float(judged.score.amax())
