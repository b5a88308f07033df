"""What parts are called, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edge.cameras.source import frame_now
from edge.evaluation.type_metrics import (
    MISSED,
    called,
    confuse,
    type_metrics,
    type_scores,
)
from edge.inspection.inspector import without_score
from edge.inspection.type_naming import predicted_type
from edge.result import UNKNOWN_TYPE, Inspection, Reason, Region, Verdict


def region(kind: str, score: float | None, area_px: float = 10.0, peak: float = 2.0) -> Region:
    square = ((0, 0), (4, 0), (4, 4), (0, 4))
    return Region((0, 0, 4, 4), square, area_px, None, (2.0, 2.0), peak, kind, score)


def inspection(verdict: Verdict, *regions: Region) -> Inspection:
    frame = frame_now("cam", 0, np.zeros((8, 8, 3), np.uint8))
    return replace(without_score(frame, verdict, Reason.SCORE_ABOVE_THRESHOLD, ""), regions=regions)


def test_a_part_is_called_by_the_named_region_with_the_most_evidence() -> None:
    speck = region("dent", 0.9, area_px=5, peak=9.0)
    scratch = region("scratch", 0.5, area_px=20)
    doubt = region(UNKNOWN_TYPE, 0.99, area_px=500, peak=20.0)
    assert predicted_type([doubt, speck, scratch]) == "scratch"
    assert predicted_type([speck, region("scratch", 0.5, area_px=8)]) == "dent"
    assert predicted_type([doubt]) == UNKNOWN_TYPE
    assert predicted_type([]) == UNKNOWN_TYPE


def test_parts_that_pass_are_missed_and_undecided_ones_have_no_name() -> None:
    dent = region("dent", 0.9)
    assert called(inspection(Verdict.PASS)) == MISSED
    assert called(inspection(Verdict.FAIL, dent)) == "dent"
    assert called(inspection(Verdict.UNDECIDED)) == UNKNOWN_TYPE


def test_type_scores_are_those_of_the_surest_region() -> None:
    regions = [
        region("dent", 0.4),
        region("dent", 0.7),
        region("dent", 0.1),
        region("spot", 0.2),
        region("new", 1.0),
    ]
    assert type_scores(regions, ["spot", "dent", "scar"]).tolist() == [0.2, 0.7, 0.0]
    assert type_scores([region(UNKNOWN_TYPE, 0.9)], ["spot"]).tolist() == [0.0]


TYPES = ("spot", "hole", "dent")
LABELS = ["good", "good", "dent", "dent", "dent", "dent", "spot", "spot", "crack"]
CALLED = [MISSED, "dent", "dent", "dent", "spot", MISSED, "spot", UNKNOWN_TYPE, "hole"]


def scores() -> np.ndarray:
    out = np.zeros((len(LABELS), len(TYPES)))
    for row, (name, score) in enumerate(zip(CALLED, [0, 0.6, 0.9, 0.5, 0.8, 0, 0.7, 0, 0.3])):
        if name in TYPES:
            out[row, TYPES.index(name)] = score
    return out


def test_confusion_counts_every_defective_part_once() -> None:
    matrix = confuse(LABELS, CALLED, TYPES)
    assert matrix.labels == ("crack", "dent", "spot")
    assert matrix.predicted == ("dent", "spot", "hole", UNKNOWN_TYPE, MISSED)
    assert matrix.counts.tolist() == [[0, 0, 1, 0, 0], [2, 1, 0, 0, 1], [0, 1, 0, 1, 0]]
    assert matrix.detected == 6
    assert matrix.count("dent", "spot") == 1
    assert matrix.count("crack", "crack") == 0, "the bundle lacks this type"


def test_accuracy_is_over_detected_parts() -> None:
    result = type_metrics(LABELS, CALLED, scores(), TYPES)
    # dent, dent and spot are right; dent as spot, spot unknown and crack as hole are not.
    assert result.accuracy == pytest.approx(3 / 6)
    assert result.unknown_rate == pytest.approx(1 / 6)
    assert result.per_type["dent"].accuracy == pytest.approx(2 / 3)
    assert result.per_type["spot"].accuracy == pytest.approx(1 / 2)
    assert result.per_type["crack"].accuracy == 0.0


def test_a_type_is_ranked_against_all_other_parts() -> None:
    dent = type_metrics(LABELS, CALLED, scores(), TYPES).per_type["dent"]
    # Dent scores: 0.9, 0.5, 0, 0 against 0.6 of a good part and four zeros.
    pairs = [5, 4, 4 * 0.5, 4 * 0.5]
    assert dent.auroc == pytest.approx(sum(pairs) / 20)
    assert dent.ap == pytest.approx(1 / 4 * 1 + 1 / 4 * 2 / 3 + 2 / 4 * 4 / 9)
    assert dent.f1 == pytest.approx(2 * 2 / (4 + 3)), "the false reject counts against it"
    crack = type_metrics(LABELS, CALLED, scores(), TYPES).per_type["crack"]
    assert (crack.auroc, crack.f1) == (0.5, 0.0)


def test_unknown_is_never_right_even_where_a_folder_is_called_so() -> None:
    result = type_metrics([UNKNOWN_TYPE], [UNKNOWN_TYPE], np.zeros((1, 1)), ("dent",))
    assert result.accuracy == 0.0
    assert result.per_type[UNKNOWN_TYPE].f1 == 0.0


def test_without_detected_defects_there_is_no_accuracy() -> None:
    result = type_metrics(["good", "dent"], ["dent", MISSED], np.zeros((2, 1)), ("dent",))
    assert math.isnan(result.accuracy)
    assert math.isnan(result.unknown_rate)
    assert math.isnan(result.per_type["dent"].accuracy)
    only_good = type_metrics(["good"], [MISSED], np.zeros((1, 1)), ("dent",))
    assert only_good.per_type == {}
    assert only_good.confusion.counts.shape == (0, 3)
