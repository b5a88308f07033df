"""DAPO by preset: MultiADS's choice of backbone, text tower and size, with learned prompts."""

from __future__ import annotations

from collections.abc import Sequence

from edge.errors import ConfigError
from edge.methods.dapo.settings import DapoSettings, PromptSettings
from edge.methods.dapo.towers import ClipPrompts, MiniLmPrompts, PromptTower
from edge.methods.multiads.presets import CLIP_PRESETS, IMAGE_SHARE, multiads_settings
from edge.methods.multiads.settings import ClipSettings
from edge.networks.text.clip_text import ClipText
from edge.networks.text.minilm import MiniLm
from edge.networks.weights import RANDOM

# Learned tokens in every block of CLIP's image tower; no other backbone takes any.
VISUAL_TOKENS = 4


def text_tower(preset: str, weights: str, *, legacy: bool = False) -> PromptTower:
    """The text tower that goes with a preset's backbone.

    Args:
        preset: lite, standard or accurate.
        weights: source of the backbone's weights.
        legacy: see PromptSettings.legacy_text_path.

    Raises:
        ConfigError: the preset's CLIP is random, or it has none and `legacy` is asked for.
        TrainingError: it cannot be read.
    """
    if preset not in CLIP_PRESETS:
        if legacy:
            raise ConfigError(
                f"--legacy-text-path: expected with standard or accurate, whose CLIP it is about, "
                f"got --preset {preset}"
            )
        return MiniLmPrompts(MiniLm())
    if weights == RANDOM:
        raise ConfigError("--weights: expected a CLIP with --method dapo, got random")
    return ClipPrompts(ClipText(weights), legacy=legacy)


def dapo_settings(
    preset: str,
    weights: str,
    frame_wh: tuple[int, int],
    size_wh: tuple[int, int] | None,
    types: Sequence[str],
    tower: PromptTower,
    memory_frames: int = 0,
    *,
    text_tokens: int = 4,
    visual_tokens: int | None = None,
    legacy_text_path: bool = False,
) -> DapoSettings:
    """Assemble the settings of a preset's detector; arguments as multiads_settings'.

    `visual_tokens` None takes as many as the backbone can.

    Raises:
        TrainingError: the weights cannot be read.
    """
    shared = multiads_settings(
        preset, weights, frame_wh, size_wh, "", types, tower.width, memory_frames
    )
    prompts = PromptSettings(
        width=tower.table.shape[1],
        depth=tower.depth,
        tokens=text_tokens,
        legacy_text_path=legacy_text_path,
    )
    changes = shared.model_dump(exclude={"method", "product", "temperature"})
    if isinstance(shared.backbone, ClipSettings):
        visual_tokens = VISUAL_TOKENS if visual_tokens is None else visual_tokens
    else:
        changes |= {"has_image_head": True, "image_share": IMAGE_SHARE}
    return DapoSettings.model_validate(
        changes | {"prompts": prompts, "visual_tokens": visual_tokens or 0}
    )
