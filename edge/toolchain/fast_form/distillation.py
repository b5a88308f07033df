"""Training of a fast form's head on the lessons of the full form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.networks.features import to_grid
from edge.toolchain.fast_form.lessons import Lessons
from edge.toolchain.fast_form.network import HIDDEN, FastDetector

STEPS = 1500
BATCH = 16
PEAK_LR = 3e-3
WARMUP = 50
WEIGHT_DECAY = 1e-4
# Errors below this are squared; 1 is what is rare on good parts.
BEND = 0.3
# A cell that the full form calls anomalous weighs as much more as this; few are.
ANOMALOUS_WEIGHT = 4.0
# The image score is one number among hundreds of cells.
SCORE_WEIGHT = 1.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long the head is trained."""

    steps: int = STEPS
    seed: int = 0


class PlaceMap(nn.Module):
    """What is added at each cell, as a linear map of the ordinary features there.

    Free numbers for each cell would learn the few training pictures by heart; this learns only how
    the head is to take off what is ordinary.

    Args:
        ordinary: (1, sum of G, h, w) mean features of good pictures.
    """

    ordinary: Tensor

    def __init__(self, ordinary: Tensor):
        super().__init__()
        self.register_buffer("ordinary", ordinary)
        self.linear = nn.Conv2d(ordinary.shape[1], HIDDEN, 1, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self) -> Tensor:
        """(1, K, h, w)."""
        place: Tensor = self.linear(self.ordinary)
        return place


def train_head(
    fast: FastDetector, lessons: Lessons, schedule: Schedule, advance: Callable[[int], None]
) -> float:
    """Train the head of `fast` in place; `advance(1)` is called after each step.

    Returns:
        Mean loss of the last tenth of the steps.
    """
    torch.manual_seed(schedule.seed)
    generator = torch.Generator().manual_seed(schedule.seed)
    scales = [_scale(level) for level in lessons.levels]
    levels = [(level / scale).half() for level, scale in zip(lessons.levels, scales, strict=True)]
    ordinary = [to_grid(level[lessons.good].float(), fast.settings.grid_hw) for level in levels]
    place = PlaceMap(torch.cat([level.mean(0, keepdim=True) for level in ordinary], 1))
    head = fast.head.train().requires_grad_(True)
    weights = [*head.parameters(), *place.parameters()]
    optimizer = torch.optim.AdamW(weights, PEAK_LR, weight_decay=WEIGHT_DECAY)
    last: list[float] = []
    for step in range(schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_LR * _pace(step, schedule.steps)
        rows = torch.randint(len(lessons), (min(BATCH, len(lessons)),), generator=generator)
        found = head([level[rows].float() for level in levels], place())
        loss = _loss(fast, found, lessons.grids[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        last.append(float(loss.detach()))
        advance(1)
    _fold(fast, scales, place)
    some = last[-max(1, len(last) // 10) :]
    return sum(some) / len(some)


def _loss(fast: FastDetector, found: Tensor, wanted: Tensor) -> Tensor:
    """Error of the grids (B, 2, h, w), and of the score that is read from the second one."""
    weight = 1 + ANOMALOUS_WEIGHT * wanted.clamp(0, 1)
    cells = (weight * F.smooth_l1_loss(found, wanted, beta=BEND, reduction="none")).mean()
    score, wanted_score = (fast.top(grids[:, 1:]) for grids in (found, wanted))
    return cells + SCORE_WEIGHT * F.smooth_l1_loss(score, wanted_score, beta=BEND)


def _pace(step: int, steps: int) -> float:
    """Share of the peak rate: a linear rise, then half a cosine."""
    warmup = min(WARMUP, steps // 2)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _scale(level: Tensor) -> Tensor:
    """Deviation of each channel, (1, G, 1, 1)."""
    return level.float().std((0, 2, 3), keepdim=True).clamp_min(1e-3)


@torch.no_grad()
def _fold(fast: FastDetector, scales: list[Tensor], place: PlaceMap) -> None:
    """Make the head read features as the backbone gives them, with one constant for each cell."""
    for entry, scale in zip(fast.head.entries, scales, strict=True):
        assert isinstance(entry, nn.Conv2d)  # noqa: S101 - narrowing only
        entry.weight.div_(scale)
    fast.head.place.copy_(place())
    fast.head.eval().requires_grad_(False)
