"""One frame per part, from simulated belts whose truth is known."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from edge.cameras.simulator.belt import BeltSource
from edge.cameras.simulator.belt_motion import BeltPlan, Every
from edge.frame import Frame
from edge.presence.finder import FoundPart, PartFinder, PresenceRule
from edge.presence.product_colours import ProductColours

SIZE_WH = (160, 120)
PLAN = BeltPlan(view=160, part=55, speed=9, gap=30)
STOP, REVERSE = Every(5, 12), Every(7, 14)


def frames(plan: BeltPlan = PLAN, parts: int = 12, seed: int = 1) -> list[Frame]:
    source = BeltSource("top", plan, size_wh=SIZE_WH, seed=seed, parts=parts, defect_rate=0)
    source.open()
    seen = []
    while (frame := source.read()) is not None:
        seen.append(frame)
    return seen


def found_in(seen: list[Frame], finder: PartFinder | None = None) -> list[FoundPart]:
    finder = finder or PartFinder(PresenceRule(), SIZE_WH)
    found = [part for frame in seen for part in finder.take(frame) or []]
    return found + finder.finish()


def shown(found: list[FoundPart]) -> list[int]:
    """Which parts the chosen frames show in the middle, by the simulator."""
    assert all(part.frame.part is not None for part in found)
    return [int(part.frame.part.id) for part in found if part.frame.part is not None]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"speed": 4},
        {"speed": 20},
        {"jitter": 1.0},
        {"touching": 0.4},
        {"stop": STOP},
        {"reverse": REVERSE},
        {"reverse": Every(3, 60)},
        {"gap": 300, "reverse": REVERSE},
        {"light": 0.4},
        {"speed": 15, "touching": 0.3, "jitter": 0.5, "stop": STOP, "reverse": REVERSE},
    ],
    ids=str,
)
def test_every_part_is_found_once_and_in_order(changes: dict) -> None:
    assert shown(found_in(frames(replace(PLAN, **changes), 20))) == list(range(20))


def test_parts_are_numbered_and_whole() -> None:
    found = found_in(frames())
    assert [part.number for part in found] == list(range(1, 13))
    assert all(part.frame.fault is None for part in found)


def test_a_row_of_touching_parts_needs_their_length() -> None:
    seen = frames(replace(PLAN, touching=1.0), 5)
    assert len(found_in(seen)) == 1
    told = PartFinder(PresenceRule(length_px=55), SIZE_WH)
    assert shown(found_in(seen, told)) == [0, 1, 2, 3, 4]


def test_an_empty_belt_gives_nothing_whatever_the_light_does() -> None:
    seen = frames(replace(PLAN, empty=200, light=0.3), 1)[:190]
    finder = PartFinder(PresenceRule(), SIZE_WH)
    assert found_in(seen, finder) == []
    assert finder.is_empty


def test_the_lamp_that_dims_at_once_changes_nothing() -> None:
    seen = frames()
    for i in range(len(seen) // 2, len(seen)):
        pixels = (np.asarray(seen[i].pixels_bgr) * 0.6).astype(np.uint8)
        seen[i] = replace(seen[i], pixels_bgr=pixels)
    assert shown(found_in(seen)) == list(range(12))


def test_what_does_not_move_with_the_belt_is_no_part() -> None:
    seen = frames()
    for i in range(60, len(seen)):
        pixels = np.array(seen[i].pixels_bgr)
        pixels[2:14, 100:112] = 250  # a stain on the window
        seen[i] = replace(seen[i], pixels_bgr=pixels)
    found = Counter(shown(found_in(seen)))
    assert found == dict.fromkeys(range(12), 1)


def test_a_flash_and_a_hand_are_no_parts() -> None:
    seen = frames(replace(PLAN, empty=80), 1)[:78]
    for i in (40, 41, 60):
        pixels = np.array(seen[i].pixels_bgr)
        pixels[:, 40:120] = 255
        seen[i] = replace(seen[i], pixels_bgr=pixels)
    assert found_in(seen) == []


def test_a_dark_frame_shows_nothing_and_loses_no_part() -> None:
    seen, finder = frames(), PartFinder(PresenceRule(), SIZE_WH)
    for i in range(50, len(seen), 9):
        seen[i] = replace(seen[i], pixels_bgr=np.zeros((120, 160, 3), np.uint8))
    found: list[FoundPart] = []
    for frame in seen:
        parts = finder.take(frame)
        is_dark = frame.pixels_bgr is not None and not frame.pixels_bgr.any()
        assert (parts is None) == is_dark
        found += parts or []
    assert shown(found) == list(range(12))


def test_frames_that_the_camera_lost_lose_no_part() -> None:
    seen = [frame for frame in frames() if frame.frame_id < 40 or frame.frame_id % 6]
    assert shown(found_in(seen)) == list(range(12))


def test_the_sharpest_frame_near_the_middle_is_chosen() -> None:
    seen = frames(replace(PLAN, speed=3), 1)
    plain = found_in(seen)[0].frame.frame_id
    blurred = []
    for frame in seen:
        shown_frame = frame
        if frame.frame_id == plain:
            pixels = np.asarray(frame.pixels_bgr).astype(np.float32)
            for _ in range(3):
                pixels = (np.roll(pixels, 1, axis=1) + pixels + np.roll(pixels, -1, axis=1)) / 3
            shown_frame = replace(frame, pixels_bgr=pixels.astype(np.uint8))
        blurred.append(shown_frame)
    chosen = found_in(blurred)[0].frame.frame_id
    assert chosen != plain
    assert abs(chosen - plain) <= 8


def test_one_frame_per_part_in_view_is_held() -> None:
    finder, most = PartFinder(PresenceRule(), SIZE_WH), 0
    for frame in frames(replace(PLAN, touching=0.5, reverse=REVERSE), 20):
        finder.take(frame)
        most = max(most, len(finder.held))
    assert most <= 4


@pytest.mark.parametrize("by_hand", ["belt", "product"])
def test_a_picture_spares_the_learning(by_hand: str) -> None:
    seen = frames(replace(PLAN, empty=2), 4)
    empty = np.asarray(frames(PLAN, 1)[5].pixels_bgr)
    middle = next(frame for frame in seen if frame.part is not None and frame.frame_id > 20)
    picture = np.asarray(middle.pixels_bgr)
    if by_hand == "belt":
        finder = PartFinder(PresenceRule(), SIZE_WH, belt=empty)
    else:
        mask = np.abs(picture.astype(int) - empty).max(axis=2) > 60
        finder = PartFinder(PresenceRule(), SIZE_WH, product=ProductColours(picture, mask))
    assert not finder.is_learning
    assert shown(found_in(seen, finder)) == [0, 1, 2, 3]


def test_a_belt_that_runs_down_the_picture_and_the_other_way() -> None:
    seen = frames()
    for turn in (1, 2, 3):
        turned = [
            replace(frame, pixels_bgr=np.ascontiguousarray(np.rot90(frame.pixels_bgr, turn)))
            for frame in seen
        ]
        axis = "horizontal" if turn == 2 else "vertical"
        finder = PartFinder(PresenceRule(axis=axis), turned[0].size_wh)
        assert shown(found_in(turned, finder)) == list(range(12))


def test_frames_that_show_nothing_do_not_bring_the_belt_out_of_step() -> None:
    seen = frames()
    for i in range(45, len(seen)):
        if i % 12 < 5:
            seen[i] = replace(seen[i], pixels_bgr=None, fault="broken")
    assert shown(found_in(seen)) == list(range(12))


def test_after_a_gap_a_standing_belt_goes_on() -> None:
    seen, finder = frames(), PartFinder(PresenceRule(), SIZE_WH)
    found = [part for frame in seen[:70] for part in finder.take(frame) or []]
    finder.interrupt()
    assert shown(found + found_in(seen[69:], finder)) == list(range(12))


def test_what_was_in_view_before_a_gap_is_not_taken_for_what_is_there_after_it() -> None:
    seen = frames(replace(PLAN, gap=100), 8)
    finder = PartFinder(PresenceRule(), SIZE_WH)
    first = next(i for i, frame in enumerate(seen) if frame.part and frame.part.id == "000002")
    after = next(i for i, frame in enumerate(seen) if frame.part and frame.part.id == "000004")
    found = [part for frame in seen[: first + 6] for part in finder.take(frame) or []]
    finder.interrupt()
    found += found_in(seen[after:], finder)
    assert shown(found)[:2] == [0, 1]
    assert shown(found)[-4:] == [4, 5, 6, 7]


def test_a_part_that_no_frame_shows_whole_is_told_by_a_fault() -> None:
    seen = frames(replace(PLAN, gap=200), 3)
    hidden = []
    for frame in seen:
        kept = frame
        index = None if frame.part is None else int(frame.part.id)
        if index == 2 and frame.pixels_bgr is not None:
            columns = np.flatnonzero((frame.pixels_bgr > 130).mean(axis=(0, 2)) > 0.3)
            if len(columns) > 45:
                kept = replace(frame, pixels_bgr=None, fault="broken")
        hidden.append(kept)
    found = found_in(hidden)
    assert [part.frame.fault is None for part in found] == [True, True, False]
    assert "no frame shows the whole part" in str(found[-1].frame.fault)
