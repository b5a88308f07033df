"""CLIP's text tower, from the same sources as its image tower."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.errors import TrainingError
from edge.networks.backbones.clip import LAYER_NORM_EPS, Activation, ClipBlock, LayerTokens
from edge.networks.clip_weights import depth_of, read_clip

BATCH = 64


class ClipText:
    """Projected text features of unit length; D is the width shared with the image tower.

    Args:
        source: see clip_weights.read_clip. The tokenizer (`vocab.json` and `merges.txt`)
            lies in the same folder or hub repository, or beside the file.

    Raises:
        TrainingError: the source is missing, has no text tower or no tokenizer.
    """

    def __init__(self, source: str):
        clip = read_clip(source)
        if not clip.text:
            raise TrainingError(f"--weights {source}: holds no text tower; give a whole CLIP")
        self.tokenizer = _tokenizer(source, clip.text["tokens.weight"].shape[0])
        self.network = ClipTextTower(
            vocabulary=clip.text["tokens.weight"].shape[0],
            length=clip.text["positions"].shape[0],
            width=clip.text["tokens.weight"].shape[1],
            depth=depth_of(clip.text),
            heads=clip.heads[1],
            projection=clip.text["projection.weight"].shape[0],
            mlp_ratio=clip.text["blocks.0.fc1.weight"].shape[0] // clip.text["positions"].shape[1],
            activation=clip.activation,
        )
        self.network.load_state_dict(clip.text)
        self.network.eval().requires_grad_(False)
        self.width = self.network.projection.out_features

    def tokens(self, words: str) -> list[int]:
        """Token ids of some words, with start and end."""
        return list(self.tokenizer(words)["input_ids"])

    @torch.no_grad()
    def encode(self, sentences: Sequence[str]) -> Tensor:
        """Encode n >= 1 sentences, cut to CLIP's 77 tokens, as (n, D) rows of unit length."""
        rows = []
        for start in range(0, len(sentences), BATCH):
            # The full length whatever the batch: a row hardly depends on what goes with it.
            ids = self.tokenizer(
                list(sentences[start : start + BATCH]),
                padding="max_length",
                truncation=True,
                max_length=self.network.positions.shape[0],
                return_tensors="pt",
            )["input_ids"]
            ends = (ids == self.tokenizer.eos_token_id).int().argmax(1)
            rows.append(F.normalize(self.network(ids, ends), dim=-1))
        return torch.cat(rows)


class ClipTextTower(nn.Module):
    """Causal transformer whose output at the end token, normed and projected, is the sentence's."""

    def __init__(
        self,
        vocabulary: int,
        length: int,
        width: int,
        depth: int,
        heads: int,
        projection: int,
        mlp_ratio: int,
        activation: Activation,
    ):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.zeros(length, width))
        self.blocks = nn.ModuleList(
            ClipBlock(width, heads, mlp_ratio, activation) for _ in range(depth)
        )
        self.final_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.projection = nn.Linear(width, projection, bias=False)

    def forward(self, ids: Tensor, ends: Tensor) -> Tensor:
        """Map (n, T) int64 ids and the (n,) places of their end tokens to (n, D)."""
        return self.encode(self.tokens(ids), ends)

    def encode(
        self, x: Tensor, places: Tensor, extra: LayerTokens | None = None, *, causal: bool = True
    ) -> Tensor:
        """Encode embedded tokens, learned ones among them.

        Args:
            x: (n, T, W) token embeddings without positions.
            places: (n,) where the output is read, in the sequence with the extra tokens.
            extra: tokens for every layer.
            causal: as the tower was trained.

        Returns:
            (n, D), not of unit length.
        """
        x = x + self.positions[: x.shape[1]]
        for index, block in enumerate(self.blocks):
            x = block(x if extra is None else extra(x, index), causal=causal)
        # What follows the place that is read cannot reach it if attention is causal.
        return self.projection(self.final_norm(x[torch.arange(len(x)), places]))


def _tokenizer(source: str, vocabulary: int) -> Any:
    from transformers import CLIPTokenizer

    folder = str(Path(source).parent) if Path(source).is_file() else source
    problem = ""
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder)
        # Without its files the library makes up an empty vocabulary instead of failing.
        if len(tokenizer) != vocabulary:
            problem = f"{len(tokenizer)} words instead of {vocabulary}"
    except (OSError, ValueError, TypeError) as error:
        problem = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if problem:
        raise TrainingError(
            f"--weights {source}: no CLIP tokenizer in {folder}; put vocab.json and "
            f"merges.txt there: {problem}"
        )
    return tokenizer
