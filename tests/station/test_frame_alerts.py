"""When the frames themselves are an alert, and when it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.messages.identity import Identity
from edge.messages.state_board import StateBoard
from edge.outputs.sink import Decided
from edge.result import Inspection, Reason, Verdict
from edge.station.frame_alerts import IN_A_ROW, FrameAlerts
from tests.support.mqtt_results import MODEL, make_inspection

REGION = make_inspection("p").regions[0]


def part(verdict: Verdict, reason: Reason, covered: float = 0.0, detail: str = "") -> Inspection:
    regions = (replace(REGION, area_px=covered * 100 * 100),) if covered else ()
    inspection = make_inspection("p", verdict=verdict, reason=reason)
    return replace(inspection, size_wh=(100, 100), regions=regions, detail=detail)


GOOD = part(Verdict.PASS, Reason.SCORE_BELOW_THRESHOLD)
DEFECT = part(Verdict.FAIL, Reason.SCORE_ABOVE_THRESHOLD, 0.09)
OTHER = part(Verdict.FAIL, Reason.SCORE_ABOVE_THRESHOLD, 0.27)
DARK = part(Verdict.UNDECIDED, Reason.IMAGE_QUALITY, detail="brightness 3 outside 80..120")
REPEATED = part(Verdict.UNDECIDED, Reason.REPEATED_FRAME, detail="delivered before")
BROKEN = part(Verdict.ERROR, Reason.CAMERA_ERROR, detail="expected 64x48 pixels, found 32x24")
LATE = part(Verdict.UNDECIDED, Reason.OVERRUN)


class Line:
    """Alerts as they are published."""

    def __init__(self) -> None:
        self.board = StateBoard(Identity("n", "s", "b"))
        self.sink = FrameAlerts(self.board)
        self.model = MODEL

    def see(self, *inspections: Inspection) -> list[str]:
        for inspection in inspections:
            self.sink.decided(Decided(inspection, None, None, self.model))
        told = []
        while (post := self.board.take()) is not None:
            if post.kind == "alert":
                told.append(f"{post.payload['code']} {post.payload['state']}")
                self.detail = post.payload["detail"]
        return told


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.mark.parametrize("odd", [OTHER, DARK], ids=["regions", "quality"])
def test_another_product_is_one_alert_after_a_few_parts(line: Line, odd: Inspection) -> None:
    assert line.see(*[odd] * (IN_A_ROW - 1)) == []
    assert line.see(odd) == ["unlike_product raised"]
    assert f"frames do not look like the product {MODEL.product_id}: " in line.detail
    assert "check which product is on the line" in line.detail
    assert line.see(*[odd] * 94, *[GOOD] * (IN_A_ROW - 1), odd) == []
    assert line.see(*[GOOD] * IN_A_ROW) == ["unlike_product cleared"]


def test_defects_are_no_other_product_and_odd_parts_now_and_then_neither(line: Line) -> None:
    assert line.see(*[DEFECT] * 50) == []
    assert line.see(*[OTHER, OTHER, OTHER, OTHER, DEFECT] * 10) == []


def test_another_recipe_begins_anew(line: Line) -> None:
    line.see(*[OTHER] * IN_A_ROW)
    line.model = replace(MODEL, recipe_sha256="0" * 64)
    assert line.see(OTHER) == ["unlike_product cleared"]
    assert line.see(*[OTHER] * (IN_A_ROW - 1)) == ["unlike_product raised"]


@pytest.mark.parametrize("unusable", [REPEATED, BROKEN], ids=["repeated", "broken"])
def test_frames_that_cannot_be_judged_are_an_alert_that_says_why(
    line: Line, unusable: Inspection
) -> None:
    assert line.see(*[unusable] * (IN_A_ROW - 1), GOOD, *[unusable] * (IN_A_ROW - 1)) == []
    assert line.see(unusable) == ["unusable_frames raised"]
    assert unusable.detail in line.detail
    assert line.see(*[DEFECT] * IN_A_ROW) == ["unusable_frames cleared"]


def test_unjudged_parts_count_for_nothing(line: Line) -> None:
    assert line.see(*[OTHER, LATE] * IN_A_ROW) == ["unlike_product raised"]
    assert line.see(*[GOOD, REPEATED] * (IN_A_ROW - 1)) == []
    assert line.see(GOOD) == ["unlike_product cleared"]
