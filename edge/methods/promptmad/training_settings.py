"""How PromptMAD is trained, as data."""

from __future__ import annotations

from edge.config.reader import Settings

INPUTS = 480


class PromptTraining(Settings):
    """Defaults follow OneNIP where it says something, cut to what a CPU can do.

    Attributes:
        reconstruction_steps: optimiser steps of the first stage. OneNIP trains 1000 epochs.
        inputs: synthetic defects and good pictures that are drawn beforehand, memory permitting.
        lr: of the reconstruction; `mask_lr` of segmentor and denoiser.
        clip: limit of the gradient's norm.
        jitter: noise on the features, in units of a token's length over its channels.
        joint: let the mask's losses reach the reconstruction, as OneNIP does; worse elsewhere.
        distil: try one and two refinement steps, and take the fewest that keep the precision.
    """

    seed: int = 0
    reconstruction_steps: int = 1500
    inputs: int = INPUTS
    batch: int = 8
    lr: float = 1e-4
    mask_lr: float = 1e-3
    weight_decay: float = 1e-4
    clip: float = 0.1
    jitter: float = 20.0
    joint: bool = False
    distil: bool = True

    @property
    def mask_steps(self) -> int:
        """Steps of the segmentor: 100 epochs to the reconstruction's 300."""
        return max(1, self.reconstruction_steps // 3)

    @property
    def refiner_steps(self) -> int:
        """Steps of the denoiser, and of each distillation: 50 epochs to 300."""
        return max(1, self.reconstruction_steps // 6)
