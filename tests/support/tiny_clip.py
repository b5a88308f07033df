"""A tiny random CLIP in the published format: the real loading code, without the real weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

# Two heads of 64: state dicts without a configuration imply CLIP's head width.
VISION = {
    "hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 512,
    "image_size": 32, "patch_size": 8, "projection_dim": 16,
}  # fmt: skip
TEXT = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 256,
    "vocab_size": 514, "max_position_embeddings": 40, "projection_dim": 16,
    "bos_token_id": 512, "eos_token_id": 513,
}  # fmt: skip


def write_clip(folder: Path, activation: str = "quick_gelu", blocks: int = 3) -> Any:
    """Write the model and its tokenizer into `folder`, and return the model; 4x4 positions."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    chosen = {"hidden_act": activation}
    vision = VISION | chosen | {"num_hidden_layers": blocks}
    config = CLIPConfig(vision_config=vision, text_config=TEXT | chosen, projection_dim=16)
    model = CLIPModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return model


def write_tokenizer(folder: Path) -> None:
    """CLIP's tokenizer without merges: bytes, bytes at a word's end, start and end."""
    from tokenizers import pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*alphabet, *(f"{byte}</w>" for byte in alphabet), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {name: index for index, name in enumerate(names)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
