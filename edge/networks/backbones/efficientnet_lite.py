"""EfficientNet-Lite as a frozen feature pyramid.

Lite variants of EfficientNet (Tan & Le, 2019) drop squeeze-and-excitation and use ReLU6, which is
what makes them export and quantise cleanly. Larger variants widen and lengthen the stages, but
neither the stem nor the number of blocks of the first and the last stage. The published weights
come from TensorFlow, so strided convolutions pad like TensorFlow's SAME on even sizes: nothing
before, the odd pixel after.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from edge.networks.backbones.taps import check_taps

STEM = 32


class Stage(NamedTuple):
    """Inverted residual blocks in a row; the first one has the stride."""

    expansion: int
    channels: int
    repeats: int
    stride: int
    kernel: int


VARIANTS: dict[str, tuple[Stage, ...]] = {
    "efficientnet_lite0": (
        Stage(1, 16, 1, 1, 3),
        Stage(6, 24, 2, 2, 3),
        Stage(6, 40, 2, 2, 5),
        Stage(6, 80, 3, 2, 3),
        Stage(6, 112, 3, 1, 5),
        Stage(6, 192, 4, 2, 5),
        Stage(6, 320, 1, 1, 3),
    ),
    # Width 1.1, depth 1.2.
    "efficientnet_lite2": (
        Stage(1, 16, 1, 1, 3),
        Stage(6, 24, 3, 2, 3),
        Stage(6, 48, 3, 2, 5),
        Stage(6, 88, 4, 2, 3),
        Stage(6, 120, 4, 1, 5),
        Stage(6, 208, 5, 2, 5),
        Stage(6, 352, 1, 1, 3),
    ),
}
# Stride of each stage's output, the same in every variant.
STAGE_STRIDES = (2, 4, 8, 16, 16, 32, 32)
BATCH_NORM_EPS = 1e-3  # TensorFlow's value; torch's default of 1e-5 shifts every feature


def _same_pad(kernel: int, stride: int) -> tuple[int, int, int, int]:
    """Return (left, right, top, bottom) padding of TensorFlow's SAME for an even input size."""
    total = kernel - stride if stride > 1 else kernel - 1
    before = total // 2
    return (before, total - before, before, total - before)


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding for even sizes, without bias."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        pad = _same_pad(kernel, stride)
        symmetric = pad[0] == pad[1]
        super().__init__(
            inputs,
            outputs,
            kernel,
            stride,
            padding=pad[0] if symmetric else 0,
            groups=groups,
            bias=False,
        )
        self.extra_pad = None if symmetric else pad

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H / stride, W / stride)."""
        if self.extra_pad is not None:
            x = nn.functional.pad(x, self.extra_pad)
        return super().forward(x)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS)


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise kxk, project 1x1; identity added where shapes allow."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int):
        super().__init__()
        hidden = inputs * expansion
        self.has_expansion = expansion > 1
        if self.has_expansion:
            self.expand = SameConv(inputs, hidden, 1)
            self.expand_norm = _batch_norm(hidden)
        self.depthwise = SameConv(hidden, hidden, kernel, stride, groups=hidden)
        self.depthwise_norm = _batch_norm(hidden)
        self.project = SameConv(hidden, outputs, 1)
        self.project_norm = _batch_norm(outputs)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H / stride, W / stride)."""
        y = x
        if self.has_expansion:
            y = nn.functional.relu6(self.expand_norm(self.expand(y)))
        y = nn.functional.relu6(self.depthwise_norm(self.depthwise(y)))
        y = self.project_norm(self.project(y))
        return x + y if self.is_residual else y


class EfficientNetLite(nn.Module):
    """Stem and stages up to the last tapped one.

    Args:
        name: of the variant, see VARIANTS.
        taps: indices of the stages whose outputs are returned, ascending (0 to 6).
    """

    # Inputs are (x - 127) / 128 for x in 0..255, as in the TensorFlow release.
    mean = (127 / 255, 127 / 255, 127 / 255)
    std = (128 / 255, 128 / 255, 128 / 255)

    def __init__(self, name: str, taps: tuple[int, ...]):
        super().__init__()
        check_taps(taps, len(VARIANTS[name]))
        self.name, self.taps = name, taps
        self.channels = tuple(VARIANTS[name][tap].channels for tap in taps)
        self.stem = SameConv(3, STEM, 3, 2)
        self.stem_norm = _batch_norm(STEM)
        stages, inputs = [], STEM
        for stage in VARIANTS[name][: taps[-1] + 1]:
            blocks = []
            for repeat in range(stage.repeats):
                stride = 1 if repeat else stage.stride
                blocks.append(
                    InvertedResidual(inputs, stage.channels, stage.expansion, stage.kernel, stride)
                )
                inputs = stage.channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map a normalised (B, 3, H, W) image to the tapped stage outputs, (B, C, H/s, W/s) each.

        H and W must be multiples of the last tapped stage's stride.
        """
        x = nn.functional.relu6(self.stem_norm(self.stem(image)))
        outputs = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self.taps:
                outputs.append(x)
        return tuple(outputs)


def from_published(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate a published checkpoint's names into this module's; head and counters drop out."""
    stages = VARIANTS[name]
    stage_of: list[tuple[int, int]] = []
    for index, stage in enumerate(stages):
        stage_of += [(index, repeat) for repeat in range(stage.repeats)]
    renamed = {}
    for key, value in state.items():
        if key.endswith("num_batches_tracked") or key.startswith(("_conv_head", "_bn1", "_fc")):
            continue
        parts = key.split(".")
        if parts[0] == "_conv_stem":
            renamed["stem.weight"] = value
        elif parts[0] == "_bn0":
            renamed[f"stem_norm.{parts[1]}"] = value
        else:
            index, repeat = stage_of[int(parts[1])]
            # _bn0 follows the expansion, _bn1 the depthwise, _bn2 the projection.
            layer = {
                "_expand_conv": "expand",
                "_bn0": "expand_norm",
                "_depthwise_conv": "depthwise",
                "_bn1": "depthwise_norm",
                "_project_conv": "project",
                "_bn2": "project_norm",
            }[parts[2]]
            if layer.startswith("expand") and stages[index].expansion == 1:
                raise ValueError(f"{key}: an expansion where {name} has none")
            renamed[f"stages.{index}.{repeat}.{layer}.{parts[3]}"] = value
    return renamed
