"""Stages of a training one after another: seeded, resumable, the best weights of each kept."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from edge.errors import TrainingError
from edge.training.checkpoint import (
    Checkpoint,
    State,
    delete_checkpoint,
    optimizer_state,
    read_checkpoint,
    restore_optimizer,
    restore_weights,
    restoring,
    write_checkpoint,
)
from edge.training.optimizer import learning_rate
from edge.training.run_folder import append_log

# Validations per stage, each followed by a checkpoint.
VALIDATIONS = 8
WARMUP_SHARE = 0.05
FINAL_RATE = 0.01


class StageSettings(Protocol):
    """What every stage of a training shares; `clip` limits the gradient's norm."""

    @property
    def seed(self) -> int: ...  # noqa: D102 - see the class

    @property
    def weight_decay(self) -> float: ...  # noqa: D102 - see the class

    @property
    def clip(self) -> float: ...  # noqa: D102 - see the class

    def model_dump_json(self) -> str: ...  # noqa: D102 - see pydantic


@dataclass(frozen=True, slots=True)
class Stage:
    """What is trained, by which loss, and how it is judged.

    Attributes:
        module: the part of the network that changes.
        loss: of one step, from the step's own random numbers.
        validate: value of the network as it is, higher is better.
        keeps_place: go on inside or after the stage; without, a resumed run finds the network as
            it was before the stage, and trains it again.
    """

    name: str
    module: nn.Module
    loss: Callable[[np.random.Generator], Tensor]
    validate: Callable[[], float]
    steps: int
    lr: float
    keeps_place: bool = True


class StagedTraining:
    """Runs stages over one network and remembers in `folder` how far it came.

    All randomness of a step comes from seed, stage and step, so a resumed run takes the steps that
    an uninterrupted one would have taken.

    Args:
        network: everything that any stage changes.
        settings: of the training.
        folder: where the checkpoint and the log lie; None keeps neither.
    """

    def __init__(self, network: nn.Module, settings: StageSettings, folder: Path | None):
        self.network, self.settings, self.folder = network, settings, folder
        self.done: dict[str, float] = {}
        self._place: dict[str, object] = {}
        self._stored: Checkpoint | None = None
        self._restore()

    def run(self, stage: Stage, advance: Callable[[int], None]) -> float:
        """Train a stage, put its best weights in place and return their validation value.

        Raises:
            TrainingError: the loss is not finite.
        """
        if stage.name in self.done:
            advance(stage.steps)
            return self.done[stage.name]
        torch.set_flush_denormal(True)
        stage.module.requires_grad_(True)
        try:
            value = self._run(stage, advance)
        finally:
            stage.module.requires_grad_(False)
            stage.module.eval()
            torch.set_flush_denormal(False)
        if stage.keeps_place:
            self.done[stage.name] = value
            self._save({})
        return value

    def clear(self) -> None:
        """Delete the checkpoint once the finished model is written."""
        if self.folder is not None:
            delete_checkpoint(self.folder)

    def _run(self, stage: Stage, advance: Callable[[int], None]) -> float:
        settings = self.settings
        parameters = dict(stage.module.named_parameters())
        optimizer = torch.optim.AdamW(
            parameters.values(), lr=stage.lr, weight_decay=settings.weight_decay
        )
        step, best, kept = self._resume(stage, optimizer, parameters)
        advance(step)
        every = max(1, stage.steps // VALIDATIONS)
        while step < stage.steps:
            stage.module.train()
            loss = self._take_step(stage, optimizer, step)
            step += 1
            advance(1)
            if step % every and step != stage.steps:
                continue
            stage.module.eval()
            with torch.no_grad():
                value = stage.validate()
            self._log(stage.name, step, loss, value)
            if value > best or not kept:
                best, kept = value, _copy(stage.module)
            if stage.keeps_place:
                self._save(_place(stage, step, best), optimizer_state(optimizer, parameters), kept)
        stage.module.load_state_dict(kept)
        return best

    def _take_step(self, stage: Stage, optimizer: torch.optim.AdamW, step: int) -> float:
        key = (self.settings.seed, zlib.crc32(stage.name.encode()), step)
        rng = np.random.default_rng(key)
        # Dropout and noise draw from torch.
        torch.manual_seed(int(rng.integers(2**62)))
        rate = learning_rate(
            step + 1, stage.steps, stage.lr, FINAL_RATE * stage.lr, int(WARMUP_SHARE * stage.steps)
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = stage.loss(rng)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(stage.module.parameters(), self.settings.clip)
        optimizer.step()
        value = float(loss.detach())
        if not np.isfinite(value):
            raise TrainingError(
                f"{stage.name}, step {step + 1}: the loss is {value}; lower the learning rate or "
                "check the data"
            )
        return value

    def _log(self, stage: str, step: int, loss: float, value: float) -> None:
        if self.folder is not None:
            entry = {"stage": stage, "step": step}
            numbers = {"loss": round(loss, 6), "validation": round(value, 6)}
            append_log(self.folder, entry | numbers)

    def _save(
        self, place: dict[str, object], optimizer: State | None = None, best: State | None = None
    ) -> None:
        if self.folder is None:
            return
        write_checkpoint(
            self.folder,
            {"network": self.network.state_dict(), "state": optimizer or {}, "best": best or {}},
            self.settings.model_dump_json(),
            done=json.dumps(self.done),
            place=json.dumps(place),
        )

    def _restore(self) -> None:
        if self.folder is None:
            return
        stored = read_checkpoint(self.folder, self.settings.model_dump_json())
        if stored is not None:
            self._stored = stored
            with restoring(self.folder):
                self.network.load_state_dict(stored.part("network"))
                self.done = dict(json.loads(stored.progress["done"]))
                self._place = dict(json.loads(stored.progress["place"]))

    def _resume(
        self, stage: Stage, optimizer: torch.optim.AdamW, parameters: dict[str, nn.Parameter]
    ) -> tuple[int, float, State]:
        """Step, best value and best weights so far; fills the optimiser's state."""
        if self.folder is None or self._stored is None or self._place.get("stage") != stage.name:
            return 0, -np.inf, {}
        with restoring(self.folder):
            restore_optimizer(optimizer, parameters, self._stored.part("state"))
            step, best = int(str(self._place["step"])), float(str(self._place["best"]))
            kept = self._stored.part("best")
            if kept:
                restore_weights(_copy(stage.module), kept)
        self._place = {}
        return step, best, kept


def _place(stage: Stage, step: int, best: float) -> dict[str, object]:
    return {"stage": stage.name, "step": step, "best": best}


def _copy(module: nn.Module) -> State:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
