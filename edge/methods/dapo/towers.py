"""The frozen text towers that DAPO's prompts go through: CLIP's, as published, and MiniLM's (ours).

Learned context stands where a prompt's first words would, behind the start token; it is embedded
like words, so context made of the embeddings of real words gives what the tower says of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from edge.errors import TrainingError
from edge.networks.backbones.clip import LayerTokens
from edge.networks.text.clip_text import ClipText
from edge.networks.text.minilm import LENGTH, MiniLm


class PromptTower(Protocol):
    """Turns context and words into vectors; gradients reach context and extra tokens alone.

    Attributes:
        width: D of its vectors.
        depth: its layers.
        table: (V, W) embeddings of all tokens, as context replaces them.
        entering: (V, W) the same as the first layer takes them, but for their positions.
    """

    width: int
    depth: int
    table: Tensor
    entering: Tensor

    def encode(self, context: Tensor, tail: str, extra: LayerTokens | None) -> Tensor:
        """Encode (E, T, W) contexts, each before the words `tail`, as (E, D), not of unit length.

        Raises:
            TrainingError: the words are too many.
        """
        ...


class ClipPrompts:
    """CLIP's text tower, read at the end token.

    Args:
        clip: the tower.
        legacy: see PromptSettings.legacy_text_path.
    """

    def __init__(self, clip: ClipText, *, legacy: bool = False):
        self.clip, self.legacy = clip, legacy
        self.width, self.depth = clip.width, len(clip.network.blocks)
        self.table = self.entering = clip.network.tokens.weight

    def encode(self, context: Tensor, tail: str, extra: LayerTokens | None) -> Tensor:
        """Encode prompts; see PromptTower."""
        tower, ids = self.clip.network, self.clip.tokens(tail)  # the end token is the last of them
        length, limit = len(ids) + context.shape[1], tower.positions.shape[0]
        _check_length(tail, len(ids), limit - context.shape[1])
        # Without a causal mask the padding takes part, so it must be as published: token 0.
        padding = [0] * (limit - length) if self.legacy else []
        sequence = _behind_start(self.table, [*ids, *padding], context)
        shift = 0 if self.legacy or extra is None else extra.count
        places = torch.full((len(context),), length - 1 + shift)
        return tower.encode(sequence, places, extra, causal=not self.legacy)


class MiniLmPrompts:
    """MiniLM, whose attention looks both ways and whose vector is the mean over all tokens.

    Context is one of the sentence's words, so it counts in that mean, as do start and end; the
    extra tokens are no part of the sentence and do not. Those stand behind the norm that a BERT has
    in front of its first layer, so they start with the spread of what comes out of it.
    """

    def __init__(self, encoder: MiniLm):
        self.encoder = encoder
        self.width, self.depth = encoder.width, len(encoder.network.blocks)
        self.table = encoder.network.tokens.weight
        self.entering = encoder.network.entering(self.table)

    def encode(self, context: Tensor, tail: str, extra: LayerTokens | None) -> Tensor:
        """Encode prompts; see PromptTower."""
        ids = self.encoder.tokenizer.encode(tail).ids
        _check_length(tail, len(ids), LENGTH - context.shape[1])
        hidden = self.encoder.network.encode(_behind_start(self.table, ids, context), extra=extra)
        if extra is not None:
            hidden = torch.cat([hidden[:, :1], hidden[:, 1 + extra.count :]], 1)
        return hidden.mean(1)


def _behind_start(table: Tensor, ids: Sequence[int], context: Tensor) -> Tensor:
    """Embed a start token, then context, then the rest of `ids`: (E, T, W)."""
    embedded = table[torch.tensor(ids)].expand(len(context), -1, -1)
    return torch.cat([embedded[:, :1], context, embedded[:, 1:]], 1)


def _check_length(tail: str, count: int, limit: int) -> None:
    if count > limit:
        raise TrainingError(
            f"prompt {tail!r}: expected at most {limit} tokens, got {count}; use shorter words"
        )
