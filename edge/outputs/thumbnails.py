"""Small pictures of parts over MQTT, for those who watch the line."""

from __future__ import annotations

from functools import partial
from time import monotonic

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.config.mqtt import PictureSettings
from edge.drop_counts import DropCounts
from edge.inspection.overlay import draw_heat
from edge.messages.identity import Identity
from edge.messages.picture import picture_payload
from edge.messages.state_board import StateBoard
from edge.outputs.queued_sink import QueuedSink
from edge.outputs.sink import Decided
from edge.result import Reason, Verdict

QUEUE_SIZE = 8
QUALITY = 80


class Thumbnails(QueuedSink):
    """Publishes small pictures of some parts; the others cost nothing.

    Args:
        settings: of which parts, how large and how often.
        identity: who speaks.
        states: publishes the pictures after everything else.
        drops: counts (thumbnails, overrun) and (thumbnails, stopped).
    """

    def __init__(
        self,
        settings: PictureSettings,
        identity: Identity,
        states: StateBoard,
        drops: DropCounts,
    ):
        super().__init__("thumbnails", drops, size=QUEUE_SIZE)
        self._settings = settings
        self._identity = identity
        self._states = states
        self._next_s = {True: 0.0, False: 0.0}  # when the next pass, the next other part is due

    def decided(self, decided: Decided) -> None:
        """Queue the picture of a part that is due, with all its views."""
        if not self._is_due(decided):
            return
        for view in decided.views or (decided,):
            if view.frame.pixels_bgr is not None:
                self.later(partial(self._publish, view.kept(), decided))

    def _is_due(self, decided: Decided) -> bool:
        inspection, moment = decided.inspection, monotonic()
        is_pass = inspection.verdict is Verdict.PASS
        if inspection.reason is Reason.OVERRUN or moment < self._next_s[is_pass]:
            return False
        if is_pass and self._settings.thumbnails != "all":
            return False
        self._next_s[is_pass] = moment + 1 / self._settings.max_per_s
        return True

    def _publish(self, view: Decided, part: Decided) -> None:
        frame, inspection = view.frame, view.inspection
        assert frame.pixels_bgr is not None  # noqa: S101 - `decided` let only pictures in
        small = shrunk(frame.pixels_bgr, self._settings.longest_side_px)
        heat = None
        if view.anomaly_map is not None and inspection.threshold:
            heat = to_jpeg(draw_heat(small, view.anomaly_map, inspection.threshold))
        self._states.show(
            picture_payload(
                self._identity,
                "thumbnail",
                to_jpeg(small),
                camera=frame.camera,
                frame_id=frame.frame_id,
                captured_at=frame.captured_at,
                verdict=part.inspection.verdict.value,
                size_wh=frame.size_wh,
                part_id=frame.part.id if frame.part else None,
                heat=heat,
            )
        )


def shrunk(pixels_bgr: NDArray[np.uint8], longest_side_px: int) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 pixels with at most that longest side; smaller ones as they are."""
    height, width = pixels_bgr.shape[:2]
    scale = longest_side_px / max(height, width)
    if scale >= 1:
        return pixels_bgr
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels_bgr, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def to_jpeg(pixels_bgr: NDArray[np.uint8], quality: int = QUALITY) -> bytes:
    """Encode (H, W, 3) uint8 pixels."""
    _, data = cv2.imencode(".jpg", pixels_bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data.tobytes())
