"""Which backbone a network stands on, as data."""

from __future__ import annotations

from typing import Literal

from edge.config.reader import Settings

PyramidName = Literal["efficientnet_lite0", "efficientnet_lite2"]


class PyramidSettings(Settings):
    """EfficientNet-Lite stages on a common grid.

    Attributes:
        name: the variant.
        taps: stage indices, 0 to 6.
        stride: pixels of network input per grid cell.
    """

    name: PyramidName
    taps: tuple[int, ...]
    stride: int


class VitSettings(Settings):
    """DINOv2 with registers.

    Attributes:
        taps: block indices from 0; `groups` of equal size are averaged.
    """

    name: Literal["dinov2_registers"]
    width: int
    depth: int
    heads: int
    patch: int = 14
    registers: int = 4
    mlp_ratio: int = 4
    position_grid: int = 37
    taps: tuple[int, ...]
    groups: int

    @property
    def stride(self) -> int:
        """Pixels of network input per grid cell."""
        return self.patch
