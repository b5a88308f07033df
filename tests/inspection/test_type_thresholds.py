"""A type with a threshold of its own decides where a part shows nothing else, and never below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from edge.bundle.store import Bundle, open_bundle
from edge.bundle.thresholds import OwnThreshold
from edge.cameras.source import frame_now
from edge.config.station import DecisionSettings
from edge.inspection.inspector import Inspector
from edge.messages.payload import schema
from edge.messages.result_payload import ViewResult, result_payload
from edge.result import Inspection, Reason, Verdict
from tests.support.bundles import make_bundle, with_two_graphs, with_type_threshold
from tests.support.judging import LEFT, RIGHT, Judging
from tests.support.mqtt_results import IDENTITY, MODEL

BRIGHT, DARK = 1, 2


class Naming:
    """Names the left and the right half of every picture, by rows of the type logits."""

    info = Judging.info

    def __init__(self, left: int, right: int = BRIGHT):
        self.logits = np.zeros((1, 3, 8, 12), np.float32)
        self.logits[0, left, :, :6], self.logits[0, right, :, 6:] = 9.0, 9.0

    def run(self, _inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {"type_logits": self.logits}

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Fails from 1.0 on, a part with nothing but `dark` from 1.6 on."""
    made = with_two_graphs(make_bundle(tmp_path_factory.mktemp("b"), "typed", threshold=1.0))
    with_type_threshold(made, "dark", [1.2, 1.3, 1.4, 1.6], 0.2)
    return open_bundle(made)


def inspect(bundle: Bundle, judging: Judging, naming: Naming, **settings: Any) -> Inspection:
    inspector = Inspector(bundle, judging, DecisionSettings(**settings), naming)
    return inspector.inspect(frame_now("top", 0, np.zeros((64, 96, 3), np.uint8)))[0]


def test_a_weak_one_passes_and_a_strong_one_fails_by_its_threshold(bundle: Bundle) -> None:
    weak = inspect(bundle, Judging(1.59), Naming(DARK))
    assert (weak.verdict, weak.reason) == (Verdict.PASS, Reason.WITHIN_TYPE_THRESHOLD)
    strong = inspect(bundle, Judging(1.61), Naming(DARK))
    assert (strong.verdict, strong.reason) == (Verdict.FAIL, Reason.SCORE_ABOVE_THRESHOLD)
    for found in (weak, strong):
        assert (found.threshold, found.threshold_type) == (1.6, "dark")
        assert [(region.type, region.threshold) for region in found.regions] == [("dark", 1.6)]


def test_the_payload_says_which_threshold_decided(bundle: Bundle) -> None:
    found = inspect(bundle, Judging(1.5), Naming(DARK))
    payload = result_payload(found, IDENTITY, MODEL, views=[ViewResult(found, MODEL, False)])
    said = {"msg_id": "01234567-89ab-7def-8123-456789abcdef", "seq": 1}
    assert list(Draft202012Validator(schema("result")).iter_errors({**payload, **said})) == []
    for told in (payload, payload["views"][0]):
        assert (told["result"], told["reason"]) == ("pass", "within_type_threshold")
        assert (told["threshold"], told["threshold_type"]) == (1.6, "dark")
        assert [(each["type"], each["threshold"]) for each in told["defects"]] == [("dark", 1.6)]


def test_anything_else_on_the_part_is_judged_by_the_common_threshold(bundle: Bundle) -> None:
    both = Judging(1.2, (LEFT, RIGHT))
    mixed = inspect(bundle, both, Naming(DARK, BRIGHT))
    assert (mixed.verdict, mixed.threshold, mixed.threshold_type) == (Verdict.FAIL, 1.0, None)
    alike = inspect(bundle, both, Naming(DARK, DARK))
    assert alike.reason is Reason.WITHIN_TYPE_THRESHOLD
    payload = result_payload(mixed, IDENTITY, MODEL)
    assert "threshold_type" not in payload
    assert {each["type"]: each.get("threshold") for each in payload["defects"]} == {
        "dark": 1.6, "bright": None,
    }  # fmt: skip


def test_a_part_without_a_region_or_in_doubt_stays_as_it_is(bundle: Bundle) -> None:
    nowhere = inspect(bundle, Judging(1.2, ()), Naming(DARK))
    assert (nowhere.verdict, nowhere.threshold) == (Verdict.FAIL, 1.0)
    assert inspect(bundle, Judging(0.9), Naming(DARK)).reason is Reason.SCORE_BELOW_THRESHOLD
    held = inspect(bundle, Judging(0.9), Naming(DARK), undecided_p=0.99)
    assert held.reason is Reason.IN_UNCERTAINTY_BAND


def test_the_lowest_of_several_types_decides(bundle: Bundle) -> None:
    own = bundle.thresholds.types["dark"]
    higher = OwnThreshold(
        score=own.score.model_copy(update={"value": 2.5}), scores_file=own.scores_file
    )
    types = {"dark": own, "bright": higher}
    two = replace(bundle, thresholds=bundle.thresholds.model_copy(update={"types": types}))
    both = inspect(two, Judging(1.7, (LEFT, RIGHT)), Naming(DARK, BRIGHT))
    assert (both.verdict, both.threshold_type) == (Verdict.FAIL, "dark")
    assert inspect(two, Judging(1.7), Naming(BRIGHT)).reason is Reason.WITHIN_TYPE_THRESHOLD


def test_a_type_is_never_below_the_threshold_of_the_view(bundle: Bundle) -> None:
    found = inspect(bundle.with_threshold(1.8), Judging(1.7), Naming(DARK))
    assert found.reason is Reason.SCORE_BELOW_THRESHOLD
    strong = inspect(bundle.with_threshold(1.8), Judging(1.9), Naming(DARK))
    assert (strong.verdict, strong.threshold) == (Verdict.FAIL, 1.8)


def test_a_vetoed_region_has_no_say_where_vetoes_pass(bundle: Bundle) -> None:
    naming = Naming(DARK, 0)
    for passes, reason in ((True, Reason.WITHIN_TYPE_THRESHOLD), (False, None)):
        changes = {"veto_above": 0.9, "veto_passes": passes}
        vetoing = replace(bundle, recipe=bundle.recipe.model_copy(update=changes))
        found = inspect(vetoing, Judging(1.2, (LEFT, RIGHT)), naming)
        assert (found.reason is reason) is passes
        assert "1 of 2 regions vetoed" in found.detail
