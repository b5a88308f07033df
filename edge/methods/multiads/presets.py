"""MultiADS by preset: which backbone at which size, and which text encoder goes with it.

`lite` reads EfficientNet-Lite0 and all-MiniLM-L6-v2, so that image and text meet in the adapters
alone; `standard` and `accurate` are CLIP ViT-B/16 and, as published, ViT-L/14-336, whose towers
were trained together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from edge.errors import ConfigError
from edge.methods.multiads.settings import ClipSettings, MultiAdsSettings, SoftmaxOrder
from edge.methods.presets import Preset, candidate_sizes, find_preset, network_size
from edge.networks.backbones.clip import CLIP_SHAPES, ClipShape
from edge.networks.backbones.settings import PyramidSettings, VitSettings
from edge.networks.clip_weights import read_clip
from edge.networks.text.clip_text import ClipText
from edge.networks.text.encoder import TextEncoder
from edge.networks.text.minilm import MiniLm
from edge.networks.weights import RANDOM

LITE = "lite"
# Levels that the published network reads: the ends of four equal stretches of blocks.
LEVELS = 4
# Share of the image vector in the score, where there is one (MultiADS section 7).
IMAGE_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class ClipPreset:
    """Which CLIP a preset stands for; `side` as in Preset."""

    weights: str
    shape: ClipShape
    side: int


CLIP_PRESETS = {
    "standard": ClipPreset("openai/clip-vit-base-patch16", CLIP_SHAPES["ViT-B/16"], 384),
    "accurate": ClipPreset("openai/clip-vit-large-patch14-336", CLIP_SHAPES["ViT-L/14-336"], 518),
}


def default_weights(preset: str) -> str:
    """Source of the backbone's weights.

    Raises:
        ConfigError: unknown preset, or one that MultiADS does not have.
    """
    found = find_preset(preset)
    if preset not in (LITE, *CLIP_PRESETS):
        raise ConfigError(f"--preset: expected lite, standard or accurate, got {preset}")
    return CLIP_PRESETS[preset].weights if preset in CLIP_PRESETS else found.weights


def text_encoder(preset: str, weights: str) -> TextEncoder:
    """The text encoder that goes with a preset's backbone.

    Raises:
        TrainingError: it is not installed or cannot be read.
    """
    return ClipText(weights) if preset in CLIP_PRESETS and weights != RANDOM else MiniLm()


def multiads_settings(
    preset: str,
    weights: str,
    frame_wh: tuple[int, int],
    size_wh: tuple[int, int] | None,
    product: str,
    types: Sequence[str],
    text_width: int,
    memory_frames: int = 0,
    order: SoftmaxOrder = "softmax-first",
) -> MultiAdsSettings:
    """Assemble the settings of a preset's detector.

    Args:
        preset: lite, standard or accurate.
        weights: source of the backbone's weights.
        frame_wh: size of the product's frames; decides the network size unless `size_wh` is given.
        size_wh: network size.
        product: folder or name of the product.
        types: names of the defect types, in bank order.
        text_width: of the text encoder.
        memory_frames: good frames in the few-shot memory.
        order: see MultiAdsSettings.

    Raises:
        TrainingError: the weights cannot be read.
    """
    backbone = _backbone(preset, weights)
    step = 32 if isinstance(backbone, PyramidSettings) else backbone.stride
    size = size_wh or _size(find_preset(preset), frame_wh, step)
    cells = (size[0] // backbone.stride) * (size[1] // backbone.stride)
    has_image = isinstance(backbone, ClipSettings) and backbone.projection == text_width
    return MultiAdsSettings(
        size_wh=size,
        backbone=backbone,
        text_width=text_width,
        product=product,
        types=tuple(types),
        memory=memory_frames * cells,
        order=order,
        image_share=IMAGE_SHARE if has_image else 0.0,
    )


def level_blocks(depth: int) -> tuple[int, ...]:
    """Block indices from 0 of the levels: after blocks 6, 12, 18, 24 of 24."""
    return tuple(depth * level // LEVELS - 1 for level in range(1, LEVELS + 1))


def _backbone(preset: str, weights: str) -> PyramidSettings | VitSettings | ClipSettings:
    if preset not in CLIP_PRESETS:
        return PyramidSettings(name="efficientnet_lite0", taps=(2, 4, 5, 6), stride=16)
    published = CLIP_PRESETS[preset]
    is_published = weights in (RANDOM, published.weights)
    shape = published.shape if is_published else read_clip(weights).vision_shape()
    return ClipSettings(name="clip", taps=level_blocks(shape.depth), **asdict(shape))


def _size(preset: Preset, frame_wh: tuple[int, int], step: int) -> tuple[int, int]:
    """Size for the frame: one step above the smallest for lite, the preset's area for CLIP."""
    if preset.name in CLIP_PRESETS:
        return network_size(frame_wh, CLIP_PRESETS[preset.name].side, step)
    candidates = candidate_sizes(preset, frame_wh)
    return candidates[min(1, len(candidates) - 1)]
