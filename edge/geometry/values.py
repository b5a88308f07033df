"""Value types that the documents of a geometry share, with their ranges."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

# The largest frame that is taken, pixels a side.
MAX_SIDE = 16_384

FrameSide = Annotated[int, Field(ge=8, le=MAX_SIDE)]
# Far more than any coordinate, length in pixels or coefficient that means something.
Finite = Annotated[float, Field(ge=-1e7, le=1e7, allow_inf_nan=False)]
