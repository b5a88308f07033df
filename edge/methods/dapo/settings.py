"""What a DAPO model is, as data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.config.reader import Settings
from edge.methods.multiads.settings import AlignedSettings, ClipSettings
from edge.networks.backbones.settings import PyramidSettings


class PromptSettings(Settings):
    """Learned prompts for a text tower; published values are the defaults (DAPO section 2).

    Attributes:
        width, depth: of the text tower.
        context: learned tokens in front of a prompt's words.
        copies: prompts per state, each with a context of its own.
        tokens: learned tokens in every layer of the text tower, 0 = none.
        legacy_text_path: compute as the released code does in CLIP: attention looks both ways, and
            the place that is read ignores the inserted tokens, so it lies as many before the end.
    """

    width: int = Field(gt=0)
    depth: int = Field(gt=0)
    context: int = Field(default=5, ge=1)
    copies: int = Field(default=10, ge=1)
    tokens: int = Field(default=4, ge=0)
    legacy_text_path: bool = False


class DapoSettings(AlignedSettings):
    """One DAPO detector; section 7 of its spec.

    Attributes:
        backbone: CLIP as published, or a pyramid of convolutions, which takes no tokens and whose
            image vector is trained (`has_image_head`); its prompts go through MiniLM.
        visual_tokens: learned tokens in every block of the image tower, 0 = none.
        blend: share of what a block made of its learned tokens in those of the next block.
    """

    method: Literal["dapo"] = "dapo"
    backbone: Annotated[PyramidSettings | ClipSettings, Field(discriminator="name")]
    temperature: float = Field(default=0.07, gt=0)
    prompts: PromptSettings
    visual_tokens: int = Field(default=4, ge=0)
    blend: float = Field(default=0.01, ge=0, le=1)

    @model_validator(mode="after")
    def _goes_with_backbone(self) -> DapoSettings:
        if isinstance(self.backbone, ClipSettings):
            return self
        if not self.has_image_head:
            raise ValueError("has_image_head: a backbone without an image vector needs one")
        if self.visual_tokens or self.prompts.legacy_text_path:
            raise ValueError("visual_tokens, legacy_text_path: only CLIP's towers have them")
        return self
