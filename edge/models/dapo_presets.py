"""DAPO by preset: MultiADS's choice of CLIP and size, with learned prompts."""

from __future__ import annotations

from collections.abc import Sequence

from edge.errors import ConfigError
from edge.models.dapo_settings import DapoSettings, PromptSettings
from edge.models.multiads_presets import CLIP_PRESETS, multiads_settings
from edge.models.text.clip_text import ClipText
from edge.models.weights import RANDOM


def text_tower(preset: str, weights: str) -> ClipText:
    """CLIP's text tower that goes with a preset's image tower.

    Raises:
        ConfigError: the preset has no CLIP, or the weights are random.
        TrainingError: it cannot be read.
    """
    if preset not in CLIP_PRESETS:
        raise ConfigError(
            f"--preset: expected standard or accurate with --method dapo, which learns through "
            f"CLIP's text tower, got {preset}"
        )
    if weights == RANDOM:
        raise ConfigError("--weights: expected a CLIP with --method dapo, got random")
    return ClipText(weights)


def dapo_settings(
    preset: str,
    weights: str,
    frame_wh: tuple[int, int],
    size_wh: tuple[int, int] | None,
    types: Sequence[str],
    clip: ClipText,
    memory_frames: int = 0,
    *,
    text_tokens: int = 4,
    visual_tokens: int = 4,
    legacy_text_path: bool = False,
) -> DapoSettings:
    """Assemble the settings of a preset's detector; arguments as multiads_settings'.

    Raises:
        TrainingError: the weights cannot be read.
    """
    shared = multiads_settings(
        preset, weights, frame_wh, size_wh, "", types, clip.width, memory_frames
    )
    table = clip.network.tokens.weight
    prompts = PromptSettings(
        width=table.shape[1],
        depth=len(clip.network.blocks),
        tokens=text_tokens,
        legacy_text_path=legacy_text_path,
    )
    return DapoSettings.model_validate(
        shared.model_dump(exclude={"method", "product", "temperature"})
        | {"prompts": prompts, "visual_tokens": visual_tokens}
    )
