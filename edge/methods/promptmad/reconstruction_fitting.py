"""Training of the prompted reconstruction: good pictures and their defects both become good."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.methods.promptmad.inputs import PromptInputs, pixel_ap
from edge.methods.promptmad.losses import mask_loss
from edge.methods.promptmad.network import PromptMadDetector
from edge.methods.promptmad.training_settings import PromptTraining
from edge.training.staged_training import Stage

JUDGE_BATCH = 16


def medoid(good: Tensor) -> Tensor:
    """Features (N, C) of the picture whose mean feature is nearest to the mean of all (m, N, C)."""
    means = good.float().mean(1)
    nearest = (means - means.mean(0)).square().sum(-1).argmin()
    return good[nearest].float()


def jittered(tokens: Tensor, jitter: float) -> Tensor:
    """Tokens (..., C) with normal noise of `jitter` times their length over C (OneNIP)."""
    scale = jitter * tokens.norm(dim=-1, keepdim=True) / tokens.shape[-1]
    return tokens + torch.randn_like(tokens) * scale


class PromptTrainer:
    """The stages that change a detector's reconstruction.

    In training every input is prompted by a random good picture, in validation by the fixed one.
    """

    def __init__(
        self,
        detector: PromptMadDetector,
        inputs: PromptInputs,
        held: PromptInputs,
        prompt: Tensor,
        settings: PromptTraining,
    ):
        self.detector, self.inputs, self.held = detector, inputs, held
        self.prompt, self.settings = prompt, settings

    def stage(self) -> Stage:
        """Reconstruction alone; judged by the precision of what it misses."""
        detector, settings = self.detector, self.settings
        trained = nn.ModuleList([detector.text, detector.reconstruction])

        def loss(rng: np.random.Generator) -> Tensor:
            return self.rebuild(self.rows(rng), rng)[0]

        return Stage(
            "reconstruction", trained, loss, self.missed_ap, settings.reconstruction_steps,
            settings.lr,
        )  # fmt: skip

    def joint_stage(self) -> Stage:
        """Segmentor and reconstruction together; judged by the precision of the coarse mask."""
        detector, settings = self.detector, self.settings
        trained = nn.ModuleList(
            [detector.text, detector.reconstruction, detector.refiner.segmentor]
        )

        def loss(rng: np.random.Generator) -> Tensor:
            rows = self.rows(rng)
            squared, missed = self.rebuild(rows, rng)
            logit = self.coarse(missed, tuple(level[rows].float() for level in self.inputs.levels))
            return squared + mask_loss(logit[:, 0], self.inputs.masks[rows])

        return Stage("segmentor", trained, loss, self.coarse_ap, settings.mask_steps, settings.lr)

    def rows(self, rng: np.random.Generator) -> Tensor:
        """Inputs of one step."""
        count = len(self.inputs.source)
        chosen = rng.choice(count, min(self.settings.batch, count), replace=False)
        return torch.from_numpy(chosen)

    def rebuild(self, rows: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Loss of the good pictures and of their changed copies, and what is missed of the latter.

        Both are to become the good picture; noise is added to what goes in, never to the target.
        """
        inputs, network = self.inputs, self.detector.reconstruction
        good = inputs.good[inputs.source[rows]].float()
        changed = inputs.changed[rows].float()
        prompts = inputs.good[torch.from_numpy(rng.integers(len(inputs.good), size=len(rows)))]
        prompt = network.encode(jittered(prompts.float(), self.settings.jitter))
        text = self.detector.good_text()
        rebuilt = [
            network.decode(network.encode(jittered(tokens, self.settings.jitter)), prompt, text)
            for tokens in (good, changed)
        ]
        loss = torch.stack([F.mse_loss(guess, good) for guess in rebuilt]).sum()
        return loss, rebuilt[1] - changed

    def coarse(self, missed: Tensor, levels: tuple[Tensor, ...]) -> Tensor:
        """Logits of the coarse mask, without the stop that the detector puts before them."""
        detector = self.detector
        residual = detector.as_grid(missed.abs())
        return detector.refiner.segmentor(residual, levels, detector.text()).logit

    @torch.no_grad()
    def missed_ap(self) -> float:
        """Average precision of the length of what is missed, at the mask's size."""
        self.detector.set_prompt(self.prompt)
        levels = []
        for tokens in self.held.changed.split(JUDGE_BATCH):
            missed = self.detector.missed(tokens.float())
            length = self.detector.as_grid(missed.square().sum(-1, keepdim=True).sqrt())
            size = self.detector.refiner.size_hw
            grown = F.interpolate(length, size=size, mode="bilinear", align_corners=False)
            levels.append(grown[:, 0])
        return pixel_ap(levels, self.held.masks)

    @torch.no_grad()
    def coarse_ap(self) -> float:
        """Average precision of the coarse mask."""
        self.detector.set_prompt(self.prompt)
        levels = []
        for start in range(0, len(self.held.masks), JUDGE_BATCH):
            some = slice(start, start + JUDGE_BATCH)
            missed = self.detector.missed(self.held.changed[some].float())
            fine = tuple(level[some].float() for level in self.held.levels)
            levels.append(self.coarse(missed, fine)[:, 0])
        return pixel_ap(levels, self.held.masks)
