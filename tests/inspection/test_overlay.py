from __future__ import annotations

from datetime import datetime, timezone

import numpy as np

from edge.frame import Part
from edge.inspection.overlay import BAR, COLOURS_BGR, draw_overlay
from edge.inspection.regions import find_regions
from edge.result import Inspection, Reason, StageTimes, Verdict


def test_boxes_heat_and_verdict_are_drawn() -> None:
    pixels = np.full((400, 300, 3), 100, np.uint8)
    level = np.zeros((200, 150), np.float32)
    level[100:120, 50:70] = 2.0
    now = datetime.now(timezone.utc)
    inspection = Inspection(
        verdict=Verdict.FAIL,
        reason=Reason.SCORE_ABOVE_THRESHOLD,
        detail="",
        camera="top",
        frame_id=0,
        captured_at=now,
        ended_at=now,
        size_wh=(300, 400),
        times=StageTimes(),
        score=2.0,
        threshold=1.0,
        regions=find_regions(level, 1.0, (300, 400)),
        part=Part("a.png", "file"),
    )
    drawn = draw_overlay(pixels, level, inspection)
    assert drawn.shape == (400 + BAR, 600, 3)
    left, right = drawn[BAR:, :300], drawn[BAR:, 300:]
    red = COLOURS_BGR[Verdict.FAIL]
    assert left[200, 100].tolist() == list(red), "the box has the verdict's colour"
    assert left[220, 120].tolist() == [100, 100, 100], "the box is not filled"
    assert np.abs(right[220, 120].astype(int) - 100).max() > 60, "heat where the map is high"
    assert right[20, 20].tolist() == [100, 100, 100], "no heat where it is low"
    assert (drawn[:BAR] == red).all(axis=-1).sum() > 50, "text in the bar"
    assert pixels.min() == 100, "the frame itself is not drawn on"
