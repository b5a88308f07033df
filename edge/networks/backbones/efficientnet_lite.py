"""EfficientNet-Lite0 as a frozen feature pyramid.

Lite variants of EfficientNet (Tan & Le, 2019) drop squeeze-and-excitation and use ReLU6, which is
what makes them export and quantise cleanly. The published weights come from TensorFlow, so strided
convolutions pad like TensorFlow's SAME on even sizes: nothing before, the odd pixel after.
"""

from __future__ import annotations

from torch import Tensor, nn

# (expansion, output channels, repeats, first stride, kernel) of each stage, Lite0 width and depth.
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
# stage index -> (channels, stride) of its output
STAGE_CHANNELS = tuple(stage[1] for stage in STAGES)
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


class EfficientNetLite0(nn.Module):
    """Stem and stages up to the last tapped one.

    Args:
        taps: indices of the stages whose outputs are returned, ascending (0 to 6).
    """

    # Inputs are (x - 127) / 128 for x in 0..255, as in the TensorFlow release.
    mean = (127 / 255, 127 / 255, 127 / 255)
    std = (128 / 255, 128 / 255, 128 / 255)

    def __init__(self, taps: tuple[int, ...] = (1, 2, 4)):
        super().__init__()
        if list(taps) != sorted(set(taps)) or not taps or not 0 <= taps[0] <= taps[-1] <= 6:
            raise ValueError(f"taps: expected ascending stage indices in 0..6, got {taps}")
        self.taps = taps
        self.stem = SameConv(3, 32, 3, 2)
        self.stem_norm = _batch_norm(32)
        stages, inputs = [], 32
        for expansion, outputs, repeats, stride, kernel in STAGES[: taps[-1] + 1]:
            blocks = []
            for repeat in range(repeats):
                first = repeat == 0
                blocks.append(
                    InvertedResidual(inputs, outputs, expansion, kernel, stride if first else 1)
                )
                inputs = outputs
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


def from_published(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate the published checkpoint's names into this module's; head and counters drop out."""
    stage_of: list[tuple[int, int]] = []
    for stage, (_, _, repeats, _, _) in enumerate(STAGES):
        stage_of += [(stage, repeat) for repeat in range(repeats)]
    renamed = {}
    for name, value in state.items():
        if name.endswith("num_batches_tracked") or name.startswith(("_conv_head", "_bn1", "_fc")):
            continue
        parts = name.split(".")
        if parts[0] == "_conv_stem":
            renamed["stem.weight"] = value
        elif parts[0] == "_bn0":
            renamed[f"stem_norm.{parts[1]}"] = value
        else:
            stage, repeat = stage_of[int(parts[1])]
            has_expansion = STAGES[stage][0] > 1
            # _bn0 follows the expansion, _bn1 the depthwise, _bn2 the projection.
            layer = {
                "_expand_conv": "expand",
                "_bn0": "expand_norm",
                "_depthwise_conv": "depthwise",
                "_bn1": "depthwise_norm",
                "_project_conv": "project",
                "_bn2": "project_norm",
            }[parts[2]]
            if layer.startswith("expand") and not has_expansion:
                raise ValueError(f"{name}: an expansion where Lite0 has none")
            renamed[f"stages.{stage}.{repeat}.{layer}.{parts[3]}"] = value
    return renamed
