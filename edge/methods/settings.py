"""What a run or bundle may hold, distinguished by `method`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edge.methods.dapo.settings import DapoSettings
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.multiads.settings import MultiAdsSettings
from edge.methods.promptmad.settings import PromptMadSettings

MethodSettings = Annotated[
    ModelSettings | MultiAdsSettings | DapoSettings | PromptMadSettings,
    Field(discriminator="method"),
]
