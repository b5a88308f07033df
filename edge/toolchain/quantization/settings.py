"""Settings of the INT8 quantization."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge.config.reader import Settings

Form = Literal["cpu", "trt"]
Calibrator = Literal["minmax", "entropy", "percentile"]


class Int8Settings(Settings):
    """Settings of one INT8 graph.

    Attributes:
        form: of the graph, by runtime; see qdq.py.
        calibrator: how activation ranges are found; see activation_ranges.py.
        percentile: share of values that the calibrator of that name keeps.
        weight_bits: None is 7 for `cpu`, 8 for `trt`. Products of 7 bits cannot overflow on x86
            without VNNI, so that ONNX Runtime takes its fast kernels there.
        limit: largest difference of a score, as a share of the threshold, and of a type's
            probability, on the frames that layers are chosen by.
    """

    form: Form
    calibrator: Calibrator = "minmax"
    percentile: float = Field(default=99.99, gt=50, le=100)
    weight_bits: Literal[7, 8] | None = None
    limit: float = Field(default=0.2, gt=0)

    @property
    def largest_value(self) -> int:
        """Largest quantized value of a weight; values are symmetric about 0."""
        bits = self.weight_bits or (7 if self.form == "cpu" else 8)
        return 2 ** (bits - 1) - 1
