"""How type adapters are trained, as data."""

from __future__ import annotations

import math

from edge.config.reader import Settings


class AdapterTraining(Settings):
    """Defaults follow the published protocol; early selection replaces its fixed first epoch.

    Attributes:
        epochs: passes over the training pictures; the epoch that is best on the validation part
            is kept. Small sets get more of them, to take `least_steps` steps in all.
        lr, betas: of Adam; no decay, no schedule.
        mosaic: share of the pictures that a 2 x 2 mosaic of the same product stands in for.
        dice_target: factor on the mask in the Dice loss; the released code has 5, the paper 1.
        labelled: defects per type and with a mask, taken from the target product itself; 0 = none,
            unless it is one of the products to learn from.
    """

    seed: int = 0
    epochs: int = 10
    least_steps: int = 400
    batch: int = 8
    lr: float = 1e-3
    betas: tuple[float, float] = (0.5, 0.999)
    mosaic: float = 0.2
    dice_target: float = 1.0
    labelled: int = 0

    def epochs_over(self, pictures: int) -> int:
        """Epochs over so many pictures."""
        return max(self.epochs, math.ceil(self.least_steps / math.ceil(pictures / self.batch)))

    def steps_over(self, pictures: int) -> int:
        """Optimiser steps over so many pictures, in all epochs."""
        return self.epochs_over(pictures) * math.ceil(pictures / self.batch)
