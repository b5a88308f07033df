"""How INP-Former is trained, as data."""

from __future__ import annotations

from pydantic import Field

from edge.config.reader import Settings

SHARES_EACH = 3
# Steps of a fold's decoder, as a share of the final one's (docs/adr/0036).
FOLD_STEPS = 0.3


class TrainingSettings(Settings):
    """How the trainable part is trained; defaults follow INP-Former's published protocol.

    Attributes:
        folds: with cross-fitting, how many decoders are trained without a share of the parts; all
            parts train the final one, and each part is judged by a decoder without it. 0 or 1: a
            fifth of the parts is held out of all training instead.
        shots: train on so many good pictures of each product and their 22 changed copies (see
            few_shot); None takes all pictures as they are.
        steps: optimiser steps.
        batch: pictures per step.
        tokens: random tokens per picture that the decoder rebuilds in a step; the prototypes
            always see all of them. The decoder works token by token, so a random subset gives an
            unbiased step at a fraction of the cost. 0 = all.
        peak_lr, final_lr, warmup: see optimizer.learning_rate; and `warmup_steps`.
        clip: limit of the gradient's norm over everything trained.
        gamma: exponent of soft mining; `coherence` is the weight of the coherence loss.
        probe_defects: synthetic defects that the probe learns from.
        trim: leave suspicious pictures out of all that is learned, see trimming.
        augment: learn from a copy of each good picture in other light and another position, too,
            and judge it for the threshold (see edge.data.shifted_copies); needs cross-fitting.
        soft_coherence, squared_mining, head_steps: INP-Former++: match tokens to mixtures of
            prototypes, mine squared errors beside cosines, steps of the residual head if the
            model has one.
    """

    seed: int = 0
    folds: int = Field(default=0, ge=0, le=20)
    shots: int | None = None
    steps: int = 1500
    batch: int = 16
    tokens: int = 256
    peak_lr: float = 1e-3
    final_lr: float = 1e-4
    warmup: int = 100
    weight_decay: float = 1e-4
    clip: float = 0.1
    gamma: float = 3.0
    coherence: float = 0.2
    probe_defects: int = 480
    trim: bool = False
    augment: bool = False
    soft_coherence: bool = False
    squared_mining: bool = False
    head_steps: int = 400

    @property
    def shares(self) -> int:
        """Shares that the parts are dealt into with cross-fitting; 0 without.

        What is cheap to fit is fitted without one share at a time, a decoder without several.
        """
        return SHARES_EACH * self.folds if self.folds > 1 else 0

    @property
    def of_fold(self) -> TrainingSettings:
        """The training of a decoder that leaves parts out: shorter, its level is corrected."""
        return self.model_copy(update={"steps": max(1, round(FOLD_STEPS * self.steps))})

    @property
    def warmup_steps(self) -> int:
        """Steps in which the rate rises; of a short training no more than half."""
        return min(self.warmup, self.steps // 2)
