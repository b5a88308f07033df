"""What a DAPO model is, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge.config.reader import Settings
from edge.models.multiads_settings import AlignedSettings, ClipSettings


class PromptSettings(Settings):
    """Learned prompts for a CLIP text tower; published values are the defaults (DAPO section 2).

    Attributes:
        width, depth: of the text tower.
        context: learned tokens in front of a prompt's words.
        copies: prompts per state, each with a context of its own.
        tokens: learned tokens in every layer of the text tower, 0 = none.
        legacy_text_path: compute as the released code does: attention looks both ways, and the
            place that is read ignores the inserted tokens, so it lies as many before the end.
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
        visual_tokens: learned tokens in every block of the image tower, 0 = none.
        blend: share of what a block made of its learned tokens in those of the next block.
    """

    method: Literal["dapo"] = "dapo"
    backbone: ClipSettings
    temperature: float = Field(default=0.07, gt=0)
    prompts: PromptSettings
    visual_tokens: int = Field(default=4, ge=0)
    blend: float = Field(default=0.01, ge=0, le=1)
