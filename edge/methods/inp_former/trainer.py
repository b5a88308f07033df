"""The training loop of INP-Former over cached features: seeded, resumable, flat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edge.errors import TrainingError
from edge.methods.inp_former.losses import coherence_loss, soft_mining_loss, squared_mining_loss
from edge.methods.inp_former.network import InpFormer, prototype_distance
from edge.methods.inp_former.plus import soft_prototype_distance
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.networks.features import Groups
from edge.training.checkpoint import (
    delete_checkpoint,
    optimizer_state,
    read_checkpoint,
    restore_optimizer,
    restore_weights,
    restoring,
    write_checkpoint,
)
from edge.training.feature_cache import FeatureCache
from edge.training.optimizer import StableAdamW, learning_rate
from edge.training.run_folder import append_log

CHECKPOINT_EVERY = 100
LOG_EVERY = 20


class Trainer:
    """Owns the network's trainable part, its optimiser and its place in the schedule.

    All randomness of a step comes from (seed, step), so a resumed run takes the steps that an
    uninterrupted one would have taken.
    """

    def __init__(self, network: InpFormer, settings: TrainingSettings, folder: Path):
        self.network = network
        self.settings = settings
        self.folder = folder
        self.parameters = dict(network.named_parameters())
        self.optimizer = StableAdamW(
            self.parameters.values(), lr=settings.peak_lr, weight_decay=settings.weight_decay
        )
        self.step = 0

    def run(self, cache: FeatureCache, advance: Callable[[int], None]) -> None:
        """Train from where the folder's checkpoint stands to the last step.

        Raises:
            TrainingError: the loss is not finite, or the checkpoint belongs to something else.
        """
        # Tokens of dead channels end up in subnormals, which cost a CPU ten times the time. The
        # switch is the whole process's: what comes after training must not lose small numbers.
        torch.set_flush_denormal(True)
        try:
            self._run(cache, advance)
        finally:
            torch.set_flush_denormal(False)

    def _run(self, cache: FeatureCache, advance: Callable[[int], None]) -> None:
        self._restore()
        advance(self.step)
        self.network.train()
        while self.step < self.settings.steps:
            loss = self._take_step(cache)
            self.step += 1
            if self.step % LOG_EVERY == 0 or self.step == self.settings.steps:
                self._log(float(loss.detach()))
            if self.step % CHECKPOINT_EVERY == 0:
                self._save()
            advance(1)
        self.network.eval()

    def clear(self) -> None:
        """Delete the checkpoint once the finished model is written."""
        delete_checkpoint(self.folder)

    def _take_step(self, cache: FeatureCache) -> Tensor:
        settings = self.settings
        rate = learning_rate(
            self.step + 1,
            settings.steps,
            settings.peak_lr,
            settings.final_lr,
            settings.warmup_steps,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self._loss(cache.batch(batch_indices(len(cache), settings, self.step)))
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        self.optimizer.step()
        return loss

    def _loss(self, groups: Groups) -> Tensor:
        settings = self.settings
        tokens, prototypes = self.network.read(groups)
        match = soft_prototype_distance if settings.soft_coherence else prototype_distance
        distance = match(tokens, prototypes)
        count = tokens.shape[1]
        if 0 < settings.tokens < count:
            generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + self.step)
            chosen = torch.randperm(count, generator=generator)[: settings.tokens]
            tokens = tokens[:, chosen]
            groups = tuple(group[:, chosen] for group in groups)
        rebuilt = self.network.rebuild(tokens, prototypes)
        mined = soft_mining_loss(groups, rebuilt, settings.gamma)
        if settings.squared_mining:
            mined = mined + squared_mining_loss(groups, rebuilt, settings.gamma)
        return mined + settings.coherence * coherence_loss(distance)

    def _log(self, loss: float) -> None:
        if not np.isfinite(loss):
            raise TrainingError(
                f"step {self.step}: the loss is {loss}; lower the learning rate or check the data"
            )
        append_log(self.folder, {"step": self.step, "loss": round(loss, 6)})

    def _save(self) -> None:
        weights = {name: value.detach() for name, value in self.parameters.items()}
        write_checkpoint(
            self.folder,
            {"weight": weights, "state": optimizer_state(self.optimizer, self.parameters)},
            self.settings.model_dump_json(),
            step=str(self.step),
        )

    def _restore(self) -> None:
        stored = read_checkpoint(self.folder, self.settings.model_dump_json())
        if stored is None:
            return
        with restoring(self.folder):
            restore_weights(self.parameters, stored.part("weight"))
            restore_optimizer(self.optimizer, self.parameters, stored.part("state"))
            self.step = int(stored.progress["step"])


def batch_indices(count: int, settings: TrainingSettings, step: int) -> list[int]:
    """Inputs of one step: the epochs' seeded permutations, read on without a break."""
    first = step * settings.batch
    positions = [divmod(position, count) for position in range(first, first + settings.batch)]
    orders = {
        epoch: np.random.default_rng((settings.seed, epoch)).permutation(count)
        for epoch in {epoch for epoch, _ in positions}
    }
    return [int(orders[epoch][offset]) for epoch, offset in positions]
