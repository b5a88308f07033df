"""Training of the mask: segmentor, denoiser, and the denoiser's distillation to fewer steps.

Validation is average precision over the pixels of synthetic defects on held-out good pictures;
nothing here ever sees a real defect.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.methods.promptmad.denoiser import STEPS, Denoiser, signal_shares
from edge.methods.promptmad.inputs import MaskInputs, pixel_ap
from edge.methods.promptmad.losses import mask_loss, refined_loss
from edge.methods.promptmad.refiner import Coarse, MaskRefiner, TextTokens, defect_text, refine
from edge.methods.promptmad.training_settings import PromptTraining
from edge.methods.run_record import RefinerTrial
from edge.training.staged_training import Stage, StagedTraining

# Average precision that refinement must add to the coarse mask, and that a student may lack.
LEAST_GAIN = 0.005
DISTILLED = (1, 2)
# Inputs whose mask of the next step starts from the coarse one, as it will on the line.
COARSE_SHARE = 0.5
JUDGE_BATCH = 16
# Of a stage's rate: the student starts as its teacher.
DISTIL_RATE = 0.1


class MaskTrainer:
    """Trains one refiner on `inputs`, validated on `held`.

    Args:
        refiner: with a denoiser; changed in place.
        text: its text tokens; trained by whoever owns them.
        inputs, held: to learn from, and to validate on.
        settings: of the training.
        staged: runs the stages; with the same settings.
    """

    def __init__(
        self,
        refiner: MaskRefiner,
        text: TextTokens,
        inputs: MaskInputs,
        held: MaskInputs,
        settings: PromptTraining,
        staged: StagedTraining,
    ):
        if refiner.denoiser is None:
            raise ValueError("the refiner has no denoiser to train")
        self.refiner, self.text = refiner, text
        self.denoiser: Denoiser = refiner.denoiser
        self.inputs, self.held = inputs, held
        self.settings, self.staged = settings, staged
        self.shares = torch.tensor(signal_shares())

    def train_segmentor(self, trained: nn.Module, advance: Callable[[int], None]) -> float:
        """Train the coarse mask: `trained` is the segmentor, and the text if nobody else owns it.

        Returns:
            Its validation value.
        """

        def loss(rng: np.random.Generator) -> Tensor:
            residual, levels, masks = self.inputs.batch(self.rows(rng))
            coarse = self.refiner.segmentor(residual, levels, self.text())
            return mask_loss(coarse.logit[:, 0], masks)

        return self.staged.run(
            Stage(
                "segmentor", trained, loss, lambda: self.value(0), self.settings.mask_steps,
                self.settings.mask_lr,
            ),
            advance,
        )  # fmt: skip

    def train_denoiser(self, coarse_ap: float, advance: Callable[[int], None]) -> RefinerTrial:
        """Train the denoiser on the coarse masks as they are, and choose the number of steps.

        Refinement that adds less than LEAST_GAIN to `coarse_ap` is left out.
        """
        settings = self.settings
        refined = self.staged.run(
            Stage(
                "denoiser", self.denoiser, self._denoising_loss, lambda: self.value(STEPS),
                settings.refiner_steps, settings.mask_lr,
            ),
            advance,
        )  # fmt: skip
        tried = {0: coarse_ap, STEPS: refined}
        steps, needed = STEPS, coarse_ap + LEAST_GAIN
        if refined < needed:
            steps = 0
        elif settings.distil:
            steps = self._distil(needed, tried, advance)
        self.refiner.set_steps(steps)
        values = {count: round(value, 6) for count, value in tried.items()}
        return RefinerTrial(steps=steps, pixel_ap=values)

    def rows(self, rng: np.random.Generator) -> Tensor:
        """Inputs of one step."""
        count = len(self.inputs.masks)
        chosen = rng.choice(count, min(self.settings.batch, count), replace=False)
        return torch.from_numpy(chosen)

    @torch.no_grad()
    def value(self, steps: int) -> float:
        """Average precision on the held inputs, with so many refinement steps; 0 = coarse."""
        levels, text = [], self.text()
        for start in range(0, len(self.held.masks), JUDGE_BATCH):
            some = self.held.batch(slice(start, start + JUDGE_BATCH))
            coarse = self.refiner.segmentor(some[0], some[1], text)
            logit = refine(self.denoiser, coarse, text, steps) if steps else coarse.logit
            levels.append(logit[:, 0])
        return pixel_ap(levels, self.held.masks)

    def _coarse(self, rng: np.random.Generator) -> tuple[Coarse, Tensor]:
        """The coarse masks of one step's inputs, and the true ones."""
        residual, levels, masks = self.inputs.batch(self.rows(rng))
        with torch.no_grad():
            return self.refiner.segmentor(residual, levels, self.text()), masks

    def _denoising_loss(self, rng: np.random.Generator) -> Tensor:
        coarse, masks = self._coarse(rng)
        count = len(masks)
        time = torch.from_numpy(rng.integers(1, STEPS + 1, count))
        starts = torch.from_numpy(rng.random(count) < COARSE_SHARE).view(-1, 1, 1, 1)
        start = torch.where(starts, (coarse.logit / 2).tanh(), 2.0 * masks.unsqueeze(1) - 1)
        share = self.shares[time].view(-1, 1, 1, 1)
        noisy = share.sqrt() * start + (1 - share).sqrt() * torch.randn_like(start)
        mean = defect_text(self.text())
        logit = self.denoiser(noisy, coarse.logit, coarse.feature, time, mean)
        return refined_loss(logit[:, 0], masks)

    def _distil(
        self, needed: float, tried: dict[int, float], advance: Callable[[int], None]
    ) -> int:
        """Distil the denoiser: a few steps are to reach what all of them reach.

        Adds the values of what it tries to `tried`. Returns the first number of steps that nearly
        keeps the value of all steps; where none does, the largest if it is `needed` at least, else
        0. The denoiser is left as trained for it.
        """
        teacher, enough = (
            copy.deepcopy(self.denoiser).eval(),
            max(needed, tried[STEPS] - LEAST_GAIN),
        )
        settings = self.settings
        for steps in DISTILLED:
            self.denoiser.load_state_dict(teacher.state_dict())
            loss = partial(self._distilling_loss, teacher, steps)
            tried[steps] = self.staged.run(
                Stage(
                    f"distil-{steps}", self.denoiser, loss, partial(self.value, steps),
                    settings.refiner_steps, DISTIL_RATE * settings.mask_lr, keeps_place=False,
                ),
                advance,
            )  # fmt: skip
            if tried[steps] >= enough:
                return steps
        return DISTILLED[-1] if tried[DISTILLED[-1]] >= needed else 0

    def _distilling_loss(self, teacher: Denoiser, steps: int, rng: np.random.Generator) -> Tensor:
        coarse, _ = self._coarse(rng)
        return distilling_loss(self.denoiser, teacher, coarse, self.text(), steps)


def distilling_loss(
    student: Denoiser, teacher: Denoiser, coarse: Coarse, text: Tensor, steps: int
) -> Tensor:
    """Squared error between the student's mask in `steps` steps and the teacher's in all."""
    with torch.no_grad():
        target = (refine(teacher, coarse, text, STEPS) / 2).tanh()
    found = (refine(student, coarse, text, steps) / 2).tanh()
    return F.mse_loss(found, target)


def mask_units(settings: PromptTraining) -> int:
    """How far the `advance` of both trainings counts at most."""
    distilled = len(DISTILLED) if settings.distil else 0
    return settings.mask_steps + (1 + distilled) * settings.refiner_steps
