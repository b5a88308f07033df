"""One step of DAPO: prompts through the text tower, pictures through the image tower."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from edge.methods.dapo.losses import global_loss, local_loss
from edge.methods.dapo.network import DapoDetector
from edge.methods.dapo.towers import PromptTower
from edge.methods.dapo.training_settings import DapoTraining
from edge.methods.multiads.network import level_volumes
from edge.methods.multiads.trainer import EpochTrainer
from edge.networks.features import Groups


class DapoTrainer(EpochTrainer):
    """V, W, H, G or image head, and the adapters learn; backbone and text tower stay as they are.

    Args:
        vocabulary: names of the types to learn from, in the order of the ids.
    """

    def __init__(
        self,
        detector: DapoDetector,
        tower: PromptTower,
        vocabulary: Sequence[str],
        settings: DapoTraining,
        folder: Path,
    ):
        super().__init__(trainable(detector), settings, folder)
        self.detector, self.tower, self.vocabulary = detector, tower, tuple(vocabulary)
        self.weights = settings.local_weight, settings.global_weight

    @torch.no_grad()
    def bank(self) -> Tensor:
        """Text rows of the vocabulary as the prompts are now, (1 + K, D)."""
        return self.detector.prompts.rows(self.tower, self.vocabulary)

    def _loss(self, groups: Groups, ids: Tensor, products: Tensor) -> Tensor:  # noqa: ARG002 - prompts name no product
        detector = self.detector
        levels, image = detector.resume(groups)
        assert image is not None  # noqa: S101 - narrowing only
        bank = detector.prompts.rows(self.tower, self.vocabulary)
        logits = detector.adapters(levels, bank)
        order, grid_hw = detector.settings.order, detector.features.grid_hw
        local = local_loss(level_volumes(logits, grid_hw, detector.map_hw, order), ids)
        whole = global_loss(detector.image_logits(image, bank), ids)
        return self.weights[0] * local + self.weights[1] * whole


def trainable(detector: DapoDetector) -> dict[str, nn.Parameter]:
    """What DAPO trains, by name: everything of the detector but backbone and memory."""
    frozen = ("features.backbone.", "memory.")
    return {n: p for n, p in detector.named_parameters() if not n.startswith(frozen)}
