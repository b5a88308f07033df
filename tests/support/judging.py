"""An engine that answers what a test tells it to: one score, and places on the map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge.engines.protocol import EngineInfo

# Places on the map of 128x128.
LEFT, RIGHT = (slice(48, 80), slice(16, 48)), (slice(48, 80), slice(80, 112))


class Judging:
    """Answers with a score and a map that stands out at some places."""

    info = EngineInfo("fake", "1", "fp32", "CPU", 1)

    def __init__(self, score: float = 1.5, places=(LEFT,)):
        self.answer = score
        self.level = np.zeros((1, 128, 128), np.float32)
        for place in places:
            self.level[0][place] = 2.0

    def run(self, _inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {"map": self.level, "score": np.array([self.answer], np.float32)}

    def close(self) -> None: ...
