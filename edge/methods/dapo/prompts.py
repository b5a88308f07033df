"""DAPO's prompts: learned context, then plain words, through a frozen text tower (section 2).

The context of defective states is shared by all types, so a type is nothing but its word: another
one needs no training, and no row depends on which other types there are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.methods.dapo.settings import PromptSettings
from edge.methods.dapo.towers import PromptTower
from edge.networks.backbones.clip import LayerTokens
from edge.networks.text.knowledge import words

NORMAL_TAIL = "flawless object"
ABNORMAL_TAIL = "{} anomaly object"


class Prompts(nn.Module):
    """The trainable text side: V (`normal`), W (`abnormal`) and H (`extra`, if there is any)."""

    def __init__(self, settings: PromptSettings, blend: float):
        super().__init__()
        self.settings = settings
        shape = (settings.copies, settings.context, settings.width)
        self.normal = nn.Parameter(torch.zeros(shape))
        self.abnormal = nn.Parameter(torch.zeros(shape))
        self.extra: LayerTokens | None = None
        if settings.tokens:
            self.extra = LayerTokens(settings.depth, settings.tokens, settings.width, blend)

    @torch.no_grad()
    def start_from(self, tower: PromptTower) -> None:
        """Draw all values as the tower's own token embeddings are spread, channel by channel."""
        for values in (self.normal, self.abnormal):
            values.copy_(_like(tower.table, values))
        if self.extra is not None:
            self.extra.tokens.copy_(_like(tower.entering, self.extra.tokens))

    def rows(self, tower: PromptTower, types: Sequence[str]) -> Tensor:
        """Unit rows of normal and of every type, (1 + K, D); gradients reach V, W and H alone.

        Raises:
            TrainingError: a type's name is too long for the tower.
        """
        # State by state, so that a row does not depend on which others are asked for with it.
        prompts = [(self.normal, NORMAL_TAIL)]
        prompts += [(self.abnormal, ABNORMAL_TAIL.format(words(name))) for name in types]
        states = [tower.encode(context, tail, self.extra).mean(0) for context, tail in prompts]
        return F.normalize(torch.stack(states), dim=-1)


def _like(table: Tensor, values: Tensor) -> Tensor:
    return table.mean(0) + table.std(0) * torch.randn_like(values)
