"""What a MultiADS model is, as data; and what every model that aligns patches with text is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.config.reader import Settings
from edge.networks.backbones.clip import Activation
from edge.networks.backbones.settings import PyramidSettings, VitSettings

SoftmaxOrder = Literal["softmax-first", "upsample-first"]


class ClipSettings(Settings):
    """CLIP's image tower; see edge.networks.backbones.clip.ClipShape.

    Attributes:
        taps: block indices from 0, one level each.
    """

    name: Literal["clip"]
    width: int
    depth: int
    heads: int
    patch: int
    projection: int
    position_grid: int
    mlp_ratio: int = 4
    activation: Activation = "quick_gelu"
    taps: tuple[int, ...]

    @property
    def stride(self) -> int:
        """Pixels of network input per grid cell."""
        return self.patch


class AlignedSettings(Settings):
    """One detector that compares every patch with text vectors, at one network size.

    Attributes:
        text_width: D of the text bank.
        types: names of the K defect types; bank row and type channel i + 1 is `types[i]`.
        added: so many of the last types were added by their words after training: they name
            regions, but map and score do not know them, so the threshold stays valid.
        has_text_adapter: texts went through MAVIS' adapter, which the model keeps for added types.
        temperature: of the softmax over normal and types.
        order: `softmax-first` takes the softmax on the grid and enlarges probabilities;
            MultiADS's published `upsample-first` enlarges logits: close, not equal, at many times
            the cost.
        memory: vectors per level of the few-shot memory, 0 = zero-shot.
        image_share: weight of the image vector in the score.
        has_image_head: the image vector is a trained one (edge.networks.image_head); CLIP has its
            own, other backbones have none unless this is set.
        map_stride: pixels of network input per map pixel.
        top_ratio: share of the map's highest pixels whose mean enters the score.
    """

    size_wh: tuple[int, int]
    backbone: Annotated[PyramidSettings | VitSettings | ClipSettings, Field(discriminator="name")]
    text_width: int
    types: tuple[str, ...] = Field(min_length=1)
    added: int = Field(default=0, ge=0)
    has_text_adapter: bool = False
    temperature: float = Field(default=0.01, gt=0)
    order: SoftmaxOrder = "softmax-first"
    memory: int = Field(default=0, ge=0)
    image_share: float = Field(default=0.0, ge=0, le=1)
    has_image_head: bool = False
    map_stride: int = Field(default=2, ge=1)
    top_ratio: float = Field(default=0.001, gt=0, le=1)

    @model_validator(mode="after")
    def _fits(self) -> AlignedSettings:
        step = self.backbone.stride
        if min(self.size_wh) < step or any(side % step for side in self.size_wh):
            raise ValueError(f"size_wh: expected positive multiples of {step}")
        if isinstance(self.backbone, ClipSettings):
            own = self.backbone.projection
            if self.has_image_head:
                raise ValueError("has_image_head: a clip backbone has an image vector of its own")
            if self.image_share and self.text_width != own:
                raise ValueError(f"text_width: the image vector has {own}, the bank must too")
        elif self.image_share and not self.has_image_head:
            raise ValueError("image_share: only a clip backbone has an image vector; expected 0")
        if len(set(self.types)) < len(self.types):
            raise ValueError("types: a type is listed twice")
        if self.added >= len(self.types):
            raise ValueError(f"added: expected fewer than the {len(self.types)} types")
        return self


class MultiAdsSettings(AlignedSettings):
    """One MultiADS detector.

    Attributes:
        product: folder or name of the product that the bank describes.
    """

    method: Literal["multiads"] = "multiads"
    product: str
