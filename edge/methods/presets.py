"""Named assemblies: which backbone, which network on it, at which sizes.

`lite` runs on a bare CPU; `lite2` is the same on a larger backbone (docs/adr/0041); `standard`,
`accurate` and `large` are INP-Former as published, on DINOv2 with registers small, base and large.
How lite's numbers were found: docs/adr/0005-lite-preset.md.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from edge.errors import ConfigError, TrainingError
from edge.methods.inp_former.settings import (
    BranchSettings,
    InpFormerNet,
    MapSettings,
    ModelSettings,
)
from edge.networks.backbones.dinov2 import shape_of
from edge.networks.backbones.settings import PyramidName, PyramidSettings, VitSettings
from edge.networks.weights import PACKAGE, RANDOM, read_dinov2

LITE_SIDES = (256, 320, 384, 448)
# A little more than the frame's own pixels still sharpens a convolutional grid.
MAX_ENLARGEMENT = 1.25
# Offered to every product; training leaves out what does not help (see branch_fitting).
BRANCHES = BranchSettings(memory=512, position_dims=48, image_dims=64, probe=1)
# A cell of a convolutional network sees little beside itself: its memory and its probe aggregate
# neighbouring cells (docs/adr/0019).
LITE_BRANCHES = BRANCHES.model_copy(update={"memory_neighbourhood": 3, "probe_neighbourhood": 7})

# Frozen convolutional features differ from frame to frame as a whole, and so do distances in
# them. The mean over the frame is taken off in part only, so that a defect that fills the frame
# still counts (docs/adr/0016).
LITE_CENTRING = 0.7
# Beyond the level that is rare for good pixels, distances count with this slope in the map. A
# place where several branches respond is more likely defective than one where a single branch
# responds strongly. The slope is above 0, so that strong defects keep their order (docs/adr/0016).
LITE_TAIL_SLOPE = 0.1
# The score uses a larger slope: only distances find a defect of a kind that no probe has learned
# (docs/adr/0018).
LITE_SCORE_TAIL_SLOPE = 0.5
# Neighbourhood aggregation blurs the map; local contrast takes some of it back (docs/adr/0019).
LITE_CONTRAST = 0.3


@dataclass(frozen=True, slots=True)
class Preset:
    """What a preset's name stands for.

    Attributes:
        weights: default source of the backbone's weights.
        sides: sizes to try, as the side of a square of equal area; smallest first.
        step: network sides are multiples of this.
        steps: default training length.
        vit: published widths, for presets on a vision transformer.
        pyramid: variant of EfficientNet-Lite, for the others.
    """

    name: str
    weights: str
    sides: tuple[int, ...]
    step: int
    steps: int
    vit: tuple[int, int, int] | None = None  # width, depth, heads
    pyramid: PyramidName = "efficientnet_lite0"


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("lite", PACKAGE, LITE_SIDES, 32, 1500),
        Preset("lite2", PACKAGE, LITE_SIDES, 32, 1500, pyramid="efficientnet_lite2"),
        Preset("standard", "facebook/dinov2-with-registers-small", (392,), 14, 3000, (384, 12, 6)),
        Preset("accurate", "facebook/dinov2-with-registers-base", (392,), 14, 3000, (768, 12, 12)),
        Preset("large", "facebook/dinov2-with-registers-large", (392,), 14, 3000, (1024, 24, 16)),
    )
}


def find_preset(name: str) -> Preset:
    """Look up a preset by name.

    Raises:
        ConfigError: unknown name.
    """
    if name not in PRESETS:
        raise ConfigError(f"--preset: expected one of {', '.join(PRESETS)}, got {name}")
    return PRESETS[name]


def network_size(frame_wh: tuple[int, int], side: int, step: int) -> tuple[int, int]:
    """Size with the area of side x side and the frame's aspect ratio, in multiples of `step`."""
    aspect = (frame_wh[0] / frame_wh[1]) ** 0.5
    width, height = side * aspect, side / aspect
    return (max(step, round(width / step) * step), max(step, round(height / step) * step))


def candidate_sizes(preset: Preset, frame_wh: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Network sizes worth trying: those that hardly enlarge the frame, at least one."""
    longest = max(frame_wh)
    sizes = dict.fromkeys(network_size(frame_wh, side, preset.step) for side in preset.sides)
    kept = [size for size in sizes if max(size) <= longest * MAX_ENLARGEMENT]
    return tuple(kept or list(sizes)[:1])


def model_settings(preset: Preset, size_wh: tuple[int, int], weights: str) -> ModelSettings:
    """Assemble the settings of a preset's detector at one network size.

    Raises:
        TrainingError: `weights` names a transformer that cannot be read.
    """
    if preset.vit is None:
        return ModelSettings(
            size_wh=size_wh,
            backbone=PyramidSettings(name=preset.pyramid, taps=(2, 4, 5, 6), stride=16),
            inp_former=InpFormerNet(
                width=96, depth=4, heads=4, mlp_ratio=2, map_centring=LITE_CENTRING
            ),
            branches=LITE_BRANCHES,
            map=MapSettings(
                stride=2,
                local_contrast=LITE_CONTRAST,
                score_from="grid",
                tail_slope=LITE_TAIL_SLOPE,
                score_tail_slope=LITE_SCORE_TAIL_SLOPE,
            ),
        )
    backbone = _vit_settings(preset, weights)
    return ModelSettings(
        size_wh=size_wh,
        backbone=backbone,
        inp_former=InpFormerNet(width=backbone.width, depth=8, heads=backbone.heads, mlp_ratio=4),
        branches=BRANCHES,
        map=MapSettings(stride=2),
    )


def _vit_settings(preset: Preset, weights: str) -> VitSettings:
    assert preset.vit is not None  # noqa: S101 - narrowing only
    if weights in (RANDOM, preset.weights):
        width, depth, heads = preset.vit
        return VitSettings(
            name="dinov2_registers",
            width=width,
            depth=depth,
            heads=heads,
            taps=tap_blocks(depth),
            groups=2,
        )
    if Path(weights).is_file():
        shape = shape_of(read_dinov2(weights))
        return VitSettings(
            name="dinov2_registers", taps=tap_blocks(shape.depth), groups=2, **asdict(shape)
        )
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(weights)
        grid = config.image_size // config.patch_size
        return VitSettings(
            name="dinov2_registers",
            width=config.hidden_size,
            depth=config.num_hidden_layers,
            heads=config.num_attention_heads,
            patch=config.patch_size,
            registers=config.num_register_tokens,
            mlp_ratio=config.mlp_ratio,
            position_grid=grid,
            taps=tap_blocks(config.num_hidden_layers),
            groups=2,
        )
    except (OSError, ValueError, AttributeError) as error:
        first = str(error).strip().splitlines()[0]
        raise TrainingError(
            f"--weights {weights}: not a DINOv2-with-registers folder or hub name: {first}"
        ) from error


def tap_blocks(depth: int) -> tuple[int, ...]:
    """Blocks whose outputs INP-Former reads: 2 to 9 of 12, every second from 4 of 24.

    Shallower networks (tests) give all their blocks, an even number of them.
    """
    if depth >= 24:
        return tuple(range(4, 19, 2))
    if depth >= 10:
        return tuple(range(2, 10))
    return tuple(range(depth - depth % 2))
