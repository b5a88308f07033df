"""DAPO's prompts: learned context, then plain words, through CLIP's frozen text tower (section 2).

The context of defective states is shared by all types, so a type is nothing but its word: another
one needs no training, and no row depends on which other types there are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.errors import TrainingError
from edge.models.backbones.clip import LayerTokens
from edge.models.dapo_settings import PromptSettings
from edge.models.text.clip_text import ClipText
from edge.models.text.knowledge import words

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
    def start_from(self, clip: ClipText) -> None:
        """Draw all values as CLIP's own token embeddings are spread, channel by channel."""
        table = clip.network.tokens.weight
        mean, spread = table.mean(0), table.std(0)
        for values in self.parameters():
            values.copy_(mean + spread * torch.randn_like(values))

    def rows(self, clip: ClipText, types: Sequence[str]) -> Tensor:
        """Unit rows of normal and of every type, (1 + K, D); gradients reach V, W and H alone.

        Raises:
            TrainingError: a type's name is too long for the tower.
        """
        # State by state, so that a row does not depend on which others are asked for with it.
        states = [self._encode(clip, self.normal, NORMAL_TAIL)]
        states += [
            self._encode(clip, self.abnormal, ABNORMAL_TAIL.format(words(name))) for name in types
        ]
        return F.normalize(torch.stack(states), dim=-1)

    def _encode(self, clip: ClipText, context: Tensor, tail: str) -> Tensor:
        """Mean over the copies of one state's prompts, (D,)."""
        tower, is_legacy = clip.network, self.settings.legacy_text_path
        start, *rest = clip.tokens(tail)  # the end token is the last of `rest`
        length = 1 + self.settings.context + len(rest)
        limit = tower.positions.shape[0]
        if length > limit:
            raise TrainingError(
                f"prompt {tail!r}: expected at most {limit - self.settings.context} tokens, got "
                f"{length - self.settings.context}; use shorter words"
            )
        # Without a causal mask the padding takes part, so it must be as published: token 0.
        padding = limit - length if is_legacy else 0
        ids = torch.tensor([start, *rest, *[0] * padding])
        embedded = tower.tokens(ids).expand(len(context), -1, -1)
        sequence = torch.cat([embedded[:, :1], context, embedded[:, 1:]], 1)
        shift = 0 if is_legacy or self.extra is None else self.extra.count
        places = torch.full((len(context),), length - 1 + shift)
        return tower.encode(sequence, places, self.extra, causal=not is_legacy).mean(0)
