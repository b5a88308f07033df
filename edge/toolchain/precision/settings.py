"""How to quantise, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge.config.reader import Settings

Form = Literal["cpu", "trt"]
Calibrator = Literal["minmax", "entropy", "percentile"]


class Int8Settings(Settings):
    """One INT8 graph.

    Attributes:
        form: for which runtime, see qdq.
        calibrator: how activation ranges are found, see ranges.
        percentile: share of values that the calibrator of that name keeps.
        weight_bits: with 7, products of x86 CPUs without VNNI cannot overflow, whatever kernels
            the engine takes there.
        limit: largest difference of a score, as a share of the threshold, and of a type's
            probability, on the frames that layers are chosen by.
    """

    form: Form
    calibrator: Calibrator = "minmax"
    percentile: float = Field(default=99.99, gt=50, le=100)
    weight_bits: Literal[7, 8] = 8
    limit: float = Field(default=0.2, gt=0)
