"""What a PromptMAD model is, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from edge.config.reader import Settings
from edge.networks.backbones.settings import PyramidSettings

# Defect texts that a mask refiner reads; the product's other types are left out.
MOST_DEFECT_TEXTS = 8


class PromptNet(Settings):
    """Shape of the prompted reconstruction; the defaults are OneNIP's.

    Attributes:
        depth: layers of the encoder, and of the decoder.
        hidden: width of every MLP's hidden layer.
        text: let the text of the good state steer the reconstruction; without it this is OneNIP.
    """

    width: int = 256
    depth: int = Field(default=4, ge=1)
    heads: int = 8
    hidden: int = 1024
    dropout: float = Field(default=0.1, ge=0, lt=1)
    text: bool = True


class RefinerNet(Settings):
    """PromptMAD's mask refiner behind a reconstruction; see edge.methods.promptmad.refiner.

    Attributes:
        text_width: D, the length of a text vector.
        types: defect types that the text vectors describe.
        upscaling: mask cells along one side of a grid cell.
        steps: of the refinement: 10 as published, 1 or 2 after distillation; 0 leaves the coarse
            mask as it is.
    """

    text_width: int
    types: tuple[str, ...] = Field(max_length=MOST_DEFECT_TEXTS)
    upscaling: int = Field(default=4, ge=1)
    steps: int = Field(default=10, ge=0, le=10)


class PromptMadSettings(Settings):
    """One PromptMAD detector at one network size.

    Attributes:
        backbone: four stages; all of them are rebuilt, all but the first help to draw the mask.
        product: folder or name of the product that prompt and text describe.
        map_stride: pixels of network input per map pixel.
        share: weight of the reconstruction error in the map; the refined mask has the rest.
    """

    method: Literal["promptmad"] = "promptmad"
    size_wh: tuple[int, int]
    backbone: PyramidSettings
    net: PromptNet = PromptNet()
    refiner: RefinerNet
    product: str
    map_stride: int = Field(default=2, ge=1)
    share: float = Field(default=0.5, ge=0, le=1)

    @property
    def types(self) -> tuple[str, ...]:
        """Types that regions are named by: none, the defect text only helps to find them."""
        return ()

    @model_validator(mode="after")
    def _fits(self) -> PromptMadSettings:
        step = self.backbone.stride
        if min(self.size_wh) < step or any(side % step for side in self.size_wh):
            raise ValueError(f"size_wh: expected positive multiples of {step}")
        if self.net.width % self.net.heads:
            raise ValueError(
                f"net: width {self.net.width} is not a multiple of heads {self.net.heads}"
            )
        return self
