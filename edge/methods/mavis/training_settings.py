"""How MAVIS is trained, as data."""

from __future__ import annotations

from typing import Literal

from edge.config.reader import Settings
from edge.methods.multiads.training_settings import AdapterTraining

NPairLevel = Literal["image", "patch"]


class NPair(Settings):
    """The negation-aware N-pair loss; all numbers ours, the source is silent.

    Attributes:
        k: the nearest negatives that count.
        margin, temperature: of the cosines.
    """

    k: int = 10
    margin: float = 0.05
    temperature: float = 0.07


class NegationTraining(AdapterTraining):
    """Stage A: type adapters as in MultiADS, with the N-pair terms beside their loss.

    Attributes:
        image, patch: the loss at the two levels; `patch` also holds for defective cells.
        image_weight, patch_weight, type_weight: of L_img, L_pat and L_abn; 0 leaves a term out.
        anchors: cells per picture and level, half of them the hardest, half random.
        warmup: steps without N-pair terms: adapters are random at first, and so is what is hard. A
            trained image vector does not wait. Short trainings wait for half of their steps.
    """

    epochs: int = 3
    image: NPair = NPair(k=5)
    patch: NPair = NPair()
    image_weight: float = 0.25
    patch_weight: float = 0.25
    type_weight: float = 0.25
    anchors: int = 256
    warmup: int = 200

    def warmup_of(self, steps: int) -> int:
        """Steps without N-pair terms in a training of so many."""
        return min(self.warmup, steps // 2)
