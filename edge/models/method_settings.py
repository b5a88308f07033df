"""What a run or bundle may hold, told apart by `method`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edge.models.dapo_settings import DapoSettings
from edge.models.multiads_settings import MultiAdsSettings
from edge.models.promptmad_settings import PromptMadSettings
from edge.models.settings import ModelSettings

MethodSettings = Annotated[
    ModelSettings | MultiAdsSettings | DapoSettings | PromptMadSettings,
    Field(discriminator="method"),
]
