"""What is told of good parts in other light and another place."""

from __future__ import annotations

from edge.bundle.operating_points import OtherShift
from edge.data.augmentation import OTHER_SHIFT
from edge.toolchain.packing.other_shifts import WORDS, other_shifts, told, too_many


def test_scores_over_the_threshold_are_counted_change_by_change() -> None:
    scores = (("darker", 0.5), ("turned", 2.0), ("darker", 1.0), ("turned", 1.1), ("darker", 1.2))
    assert other_shifts(scores, 1.0) == [
        OtherShift(change="darker", pictures=3, rejected=1),
        OtherShift(change="turned", pictures=2, rejected=2),
    ]
    assert other_shifts((), 1.0) == []


def test_every_change_has_words() -> None:
    assert set(WORDS) == set(OTHER_SHIFT)


def test_changes_are_told_that_reject_far_more_than_is_asked_for() -> None:
    shifts = [
        OtherShift(change=change, pictures=24, rejected=rejected)
        for change, rejected in (("darker", 5), ("brighter", 2), ("moved", 3), ("turned", 18))
    ]
    assert [each.change for each in too_many(shifts, 0.01)] == ["turned", "darker", "moved"]
    assert [each.change for each in too_many(shifts, 0.06)] == ["turned", "darker"]
    assert too_many(shifts, 0.3) == []
    words = told(too_many(shifts, 0.06))
    assert words == "18 of 24 good pictures turned by 2 degrees, 5 of 24 15% darker"
