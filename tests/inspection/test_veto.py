"""The veto: off by default, never silent, and a pass only where nothing else speaks against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from edge.bundle.manifest import FrameQuality, Recipe
from edge.bundle.store import Bundle, open_bundle
from edge.cameras.source import frame_now
from edge.config.archive import ArchiveSettings
from edge.config.station import DecisionSettings
from edge.drop_counts import DropCounts
from edge.errors import InferenceError
from edge.inspection.inspector import Inspector
from edge.inspection.overlay import VETOED_BGR, draw_overlay
from edge.inspection.regions import MAX_REGIONS
from edge.inspection.type_naming import predicted_type
from edge.messages.payload import schema
from edge.messages.result_payload import result_payload
from edge.outputs.picture_archive import PictureArchive
from edge.outputs.sink import Decided
from edge.result import Inspection, Reason, Verdict
from tests.support.bundles import make_bundle, with_two_graphs
from tests.support.judging import LEFT, RIGHT, Judging
from tests.support.mqtt_results import IDENTITY, MODEL


class Calling:
    """Calls the left half of every picture normal with logit `left`, the right half `right`."""

    info = Judging.info

    def __init__(self, left: float, right: float = -5.0):
        self.logits = np.zeros((1, 3, 8, 12), np.float32)
        self.logits[0, 1] = 3.0
        self.logits[0, 0, :, :6], self.logits[0, 0, :, 6:] = left, right
        self.fault: Exception | None = None

    def run(self, _inputs: Mapping[str, Any]) -> dict[str, Any]:
        if self.fault:
            raise self.fault
        return {"type_logits": self.logits}

    def close(self) -> None: ...


SURE = 20.0


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = make_bundle(tmp_path_factory.mktemp("bundles"), "typed", threshold=1.0)
    bundle = open_bundle(with_two_graphs(folder))
    return replace(bundle, recipe=bundle.recipe.model_copy(update={"frame_quality": None}))


def with_recipe(bundle: Bundle, **changes: Any) -> Bundle:
    return replace(bundle, recipe=bundle.recipe.model_copy(update=changes))


def inspect(bundle: Bundle, judging: Judging, calling: Calling, **settings: Any) -> Inspection:
    inspector = Inspector(bundle, judging, DecisionSettings(**settings), calling)
    return inspector.inspect(frame_now("top", 0, np.zeros((64, 96, 3), np.uint8)))[0]


def test_it_is_off_by_default(typed: Bundle) -> None:
    assert typed.recipe.veto_above is None
    assert not typed.recipe.veto_passes
    found = inspect(typed, Judging(), Calling(SURE))
    assert (found.verdict, found.reason) == (Verdict.FAIL, Reason.SCORE_ABOVE_THRESHOLD)
    (region,) = found.regions
    assert region.false_alarm is not None
    assert region.false_alarm > 0.999
    assert not region.vetoed
    assert found.detail == ""
    assert "vetoed" not in str(result_payload(found, IDENTITY, MODEL))


def test_it_flags_and_says_so_but_does_not_pass_by_itself(typed: Bundle) -> None:
    bundle = with_recipe(typed, veto_above=0.95)
    found = inspect(bundle, Judging(), Calling(SURE))
    assert (found.verdict, found.reason) == (Verdict.FAIL, Reason.SCORE_ABOVE_THRESHOLD)
    assert found.regions[0].vetoed
    assert found.upheld == ()
    assert found.detail.startswith("1 of 1 regions vetoed as false alarms: normal with 1.000")
    assert inspect(bundle, Judging(), Calling(-5.0)).detail == ""


def test_a_part_passes_only_if_all_its_regions_are_vetoed(typed: Bundle) -> None:
    bundle = with_recipe(typed, veto_above=0.95, veto_passes=True)
    both = Judging(places=(LEFT, RIGHT))
    mixed = inspect(bundle, both, Calling(SURE))
    assert mixed.verdict is Verdict.FAIL
    assert sorted(region.vetoed for region in mixed.regions) == [False, True]
    assert mixed.detail.startswith("1 of 2 regions vetoed")
    passed = inspect(bundle, both, Calling(SURE, SURE))
    assert (passed.verdict, passed.reason) == (Verdict.PASS, Reason.REGIONS_VETOED)
    assert len(passed.regions) == 2
    assert passed.detail.startswith("2 of 2 regions vetoed")
    assert passed.score is not None
    assert passed.threshold is not None
    assert passed.score > passed.threshold, "the score is reported as it was"


def test_the_limit_is_the_recipes(typed: Bundle) -> None:
    # Against logits 3 and 0: a probability of 0.72 that the place is normal.
    calling = Calling(4.0)
    expected = float(np.exp(4) / (np.exp(4) + np.exp(3) + 1))
    for above, vetoed in ((expected - 0.01, True), (expected + 0.01, False)):
        found = inspect(with_recipe(typed, veto_above=above), Judging(), calling)
        assert found.regions[0].vetoed is vetoed


def test_what_a_veto_cannot_pass(typed: Bundle) -> None:
    bundle = with_recipe(typed, veto_above=0.95, veto_passes=True)
    calling = Calling(SURE, SURE)
    nowhere = inspect(bundle, Judging(places=()), calling)
    assert nowhere.verdict is Verdict.FAIL, "the picture as a whole is unusual"
    assert not nowhere.regions[0].vetoed
    specks = [
        (slice(4 * i, 4 * i + 2), slice(8 * j, 8 * j + 2)) for i in range(8) for j in range(8)
    ]
    crowded = inspect(bundle, Judging(places=specks), calling)
    assert len(crowded.regions) == MAX_REGIONS
    assert crowded.verdict is Verdict.FAIL, "some regions were not even listed"
    strange = with_recipe(bundle, frame_quality=FrameQuality(mean=(50, 200), std=(20, 150)))
    dark = inspect(strange, Judging(), calling)
    assert dark.verdict is Verdict.FAIL
    assert "brightness 0 outside 50..200" in dark.detail
    assert "1 of 1 regions vetoed" in dark.detail
    unsure = inspect(bundle, Judging(1.0), calling, undecided_p=0.2)
    assert (unsure.verdict, unsure.reason) == (Verdict.UNDECIDED, Reason.IN_UNCERTAINTY_BAND)
    calling.fault = InferenceError("out of memory")
    broken = inspect(bundle, Judging(), calling)
    assert broken.verdict is Verdict.FAIL
    assert broken.regions[0].false_alarm is None


def test_vetoed_regions_are_published_apart(typed: Bundle) -> None:
    bundle = with_recipe(typed, veto_above=0.95)
    found = inspect(bundle, Judging(places=(LEFT, RIGHT)), Calling(SURE))
    payload = result_payload(found, IDENTITY, MODEL)
    numbered = {**payload, "msg_id": "01a20156-2dbd-7976-834c-b15a7e31f5c6", "seq": 1}
    Draft202012Validator(schema("result")).validate(numbered)
    claimed, vetoed = payload["defects"]
    assert "vetoed" not in claimed
    assert "vetoed" not in claimed["regions"][0]
    assert vetoed["vetoed"] is True
    assert vetoed["regions"][0]["vetoed"] is True
    assert vetoed["regions"][0]["false_alarm"] > 0.99
    assert vetoed["regions"][0]["finding"].startswith("Set aside as a false alarm (")
    assert claimed["type"] == vetoed["type"] == "bright"
    assert predicted_type(found.regions) == "bright"
    assert predicted_type([r for r in found.regions if r.vetoed]) == "unknown"


def test_a_vetoed_pass_is_archived_and_drawn(typed: Bundle, tmp_path: Path) -> None:
    bundle = with_recipe(typed, veto_above=0.95, veto_passes=True)
    found = inspect(bundle, Judging(), Calling(SURE))
    drawn = draw_overlay(np.zeros((400, 600, 3), np.uint8), None, found)
    assert (drawn == VETOED_BGR).all(-1).any()
    archive = PictureArchive(ArchiveSettings(path=tmp_path), DropCounts())
    archive.start()
    frame = frame_now("top", 0, np.zeros((64, 96, 3), np.uint8))
    archive.decided(Decided(found, frame, None, MODEL))
    plain = replace(found, regions=(), reason=Reason.SCORE_BELOW_THRESHOLD)
    archive.decided(Decided(plain, frame, None, MODEL))
    assert archive.stop(5)
    (kept,) = tmp_path.iterdir()
    assert kept.name.endswith("-pass.webp")
    assert cv2.imread(str(kept)) is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"veto_above": 0.9},
        {"veto_passes": True, "defect_types": ("a",)},
        {"veto_above": 1.0, "defect_types": ("a",)},
    ],
)
def test_recipes_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="veto"):
        Recipe(product="p", size_wh=(64, 64), **wrong)
