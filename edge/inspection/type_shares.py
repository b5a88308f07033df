"""Type logits -> which type every pixel of the frame would be, for those who measure it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.geometry.view_transform import View
from edge.inspection.in_frame import FrameMaps
from edge.inspection.type_naming import type_probabilities


@dataclass(frozen=True, slots=True, eq=False)
class TypeShares:
    """Type logits of one frame, computed to shares only when asked.

    Attributes:
        logits: (1 + types, h', w') float32 over the view; overwritten by the next frame.
        view: that was inspected.
        frame_wh: size of the camera's frame.
        map_wh: size of the anomaly map over the view, cells.
    """

    logits: NDArray[np.float32]
    view: View
    frame_wh: tuple[int, int]
    map_wh: tuple[int, int]

    def in_frame(self) -> NDArray[np.float32]:
        """Softmax over the types alone, (types, h, w) over the frame, at the size of its map."""
        shown = FrameMaps()
        rows = []
        for share in type_probabilities(self.logits[1:]):
            enlarged = cv2.resize(share, self.map_wh, interpolation=cv2.INTER_LINEAR)
            rows.append(shown.show(np.asarray(enlarged, np.float32), self.view, self.frame_wh))
        return np.stack(rows)
