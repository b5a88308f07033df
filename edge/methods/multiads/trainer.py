"""The training loop over cached features of labelled pictures: seeded, resumable, flat."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edge.errors import TrainingError
from edge.methods.multiads.inputs import TypedInputs
from edge.methods.multiads.losses import type_loss
from edge.methods.multiads.network import TypeAdapters, level_volumes
from edge.methods.multiads.settings import SoftmaxOrder
from edge.methods.multiads.training_settings import AdapterTraining
from edge.networks.features import Groups
from edge.training.checkpoint import (
    State,
    delete_checkpoint,
    optimizer_state,
    read_checkpoint,
    restore_optimizer,
    restore_weights,
    restoring,
    write_checkpoint,
)
from edge.training.run_folder import append_log


@dataclass(frozen=True, slots=True)
class Shapes:
    """How logits become volumes in the loss: grid, map size and order of softmax."""

    grid_hw: tuple[int, int]
    map_hw: tuple[int, int]
    order: SoftmaxOrder


class EpochTrainer(ABC):
    """Owns what is trained, its optimiser, the place in the schedule and the best epoch so far.

    All randomness of an epoch comes from (seed, epoch), so a resumed run takes the steps that an
    uninterrupted one would have taken. A checkpoint is written after every epoch.

    Args:
        parameters: trained in place; hold the best epoch's weights when `run` returns.
    """

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], settings: AdapterTraining, folder: Path
    ):
        self.settings, self.folder = settings, folder
        self.parameters = dict(parameters)
        self.optimizer = torch.optim.Adam(
            self.parameters.values(), lr=settings.lr, betas=settings.betas
        )
        self.values: list[float] = []
        self.best = {name: value.detach().clone() for name, value in self.parameters.items()}

    @property
    def best_epoch(self) -> int:
        """Epoch that was best on the validation part, counted from 1; the first among equals."""
        return 1 + int(np.argmax(self.values))

    @property
    def outcome(self) -> dict[str, object]:
        """What training found: fields of the run's AdapterRecord."""
        return {"best_epoch": self.best_epoch, "validation_ap": round(max(self.values), 6)}

    def run(
        self,
        inputs: TypedInputs,
        validate: Callable[[], float],
        advance: Callable[[int], None],
    ) -> None:
        """Train to the last epoch, then put the best epoch's weights in place.

        `validate` gives the value of what is trained as it is, higher is better; `advance` counts
        inputs.

        Raises:
            TrainingError: the loss is not finite, or the checkpoint belongs to something else.
        """
        self._restore()
        advance(len(self.values) * inputs.pictures)
        while len(self.values) < self.settings.epochs_over(inputs.pictures):
            loss = self._epoch(inputs, len(self.values), advance)
            value = validate()
            if not self.values or value > max(self.values):
                self.best = {n: p.detach().clone() for n, p in self.parameters.items()}
            self.values.append(value)
            self._log(loss, value)
            self._save()
        self._take(self.best)

    def clear(self) -> None:
        """Delete the checkpoint once the finished model is written."""
        delete_checkpoint(self.folder)

    def _epoch(self, inputs: TypedInputs, epoch: int, advance: Callable[[int], None]) -> float:
        order = epoch_order(inputs, self.settings, epoch)
        losses = []
        for start in range(0, len(order), self.settings.batch):
            indices = order[start : start + self.settings.batch]
            loss = self._loss(*inputs.batch(indices))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(float(loss.detach()))
            if not np.isfinite(losses[-1]):
                raise TrainingError(
                    f"epoch {epoch + 1}: the loss is {losses[-1]}; lower the learning rate or "
                    "check the data"
                )
            advance(len(indices))
        return float(np.mean(losses))

    @abstractmethod
    def _loss(self, groups: Groups, ids: Tensor, products: Tensor) -> Tensor:
        """Loss of a batch, as TypedInputs.batch gives it."""

    def _log(self, loss: float, value: float) -> None:
        entry = {"epoch": len(self.values), "loss": round(loss, 6), "validation": round(value, 6)}
        append_log(self.folder, entry)

    def _take(self, weights: State) -> None:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(weights[name])

    def _save(self) -> None:
        weights = {name: value.detach() for name, value in self.parameters.items()}
        state = optimizer_state(self.optimizer, self.parameters)
        write_checkpoint(
            self.folder,
            {"best": self.best, "weight": weights, "state": state},
            self.settings.model_dump_json(),
            values=json.dumps(self.values),
        )

    def _restore(self) -> None:
        stored = read_checkpoint(self.folder, self.settings.model_dump_json())
        if stored is None:
            return
        with restoring(self.folder):
            self.best = stored.part("best")
            for weights in (self.best, stored.part("weight")):
                restore_weights(self.parameters, weights)
            restore_optimizer(self.optimizer, self.parameters, stored.part("state"))
            self.values = [float(value) for value in json.loads(stored.progress["values"])]


class AdapterTrainer(EpochTrainer):
    """MultiADS: the adapters learn.

    Args:
        banks: (P, C, D), the text bank of every product over the training vocabulary.
    """

    def __init__(
        self,
        adapters: TypeAdapters,
        banks: Tensor,
        shapes: Shapes,
        settings: AdapterTraining,
        folder: Path,
    ):
        super().__init__(dict(adapters.named_parameters()), settings, folder)
        self.adapters, self.banks, self.shapes = adapters, banks, shapes

    def _loss(self, groups: Groups, ids: Tensor, products: Tensor) -> Tensor:
        shapes = self.shapes
        logits = self.adapters(groups, self.banks[products])
        volumes = level_volumes(logits, shapes.grid_hw, shapes.map_hw, shapes.order)
        return type_loss(volumes, ids, self.settings.dice_target)


def epoch_order(inputs: TypedInputs, settings: AdapterTraining, epoch: int) -> list[int]:
    """Inputs of one epoch: every picture once, some of them with a mosaic in their place."""
    rng = np.random.default_rng((settings.seed, epoch))
    order = rng.permutation(inputs.pictures)
    mosaics = len(inputs.products) - inputs.pictures
    if mosaics:
        replaced = rng.random(len(order)) < settings.mosaic
        order[replaced] = inputs.pictures + rng.integers(mosaics, size=int(replaced.sum()))
    return [int(index) for index in order]
