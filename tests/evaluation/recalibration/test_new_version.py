"""The golden pictures must still tell good from bad at a new threshold."""

from __future__ import annotations

from typing import Any, cast

import pytest

from edge.bundle.store import Bundle, open_bundle
from edge.bundle.thresholds import Thresholds
from edge.errors import ThresholdError
from edge.evaluation.recalibration.new_version import golden_for
from tests.support.any_frame_bundle import PACKAGED_BUNDLE


def new(bundle: Bundle, value: float) -> Thresholds:
    score = bundle.thresholds.score.model_copy(update={"value": value})
    return bundle.thresholds.model_copy(update={"score": score})


class Engine:
    """Scores golden pictures as recorded, `off` by so much."""

    def __init__(self, bundle: Bundle, off: float = 0.0):
        self._scores = iter([image.score + off for image in bundle.golden().images])

    def golden_score(self, pixels_bgr: object) -> float:
        return next(self._scores)


def golden(bundle: Bundle, value: float, off: float = 0.0) -> list[str]:
    found = golden_for(bundle, new(bundle, value), cast("Any", Engine(bundle, off)))
    return [image.verdict for image in found.images]


def test_verdicts_follow_the_new_threshold() -> None:
    bundle = open_bundle(PACKAGED_BUNDLE)
    scores = sorted(image.score for image in bundle.golden().images)
    between = (scores[-2] + scores[-1]) / 2
    assert golden(bundle, between).count("fail") == 1


def test_a_threshold_that_nothing_reaches_is_refused() -> None:
    bundle = open_bundle(PACKAGED_BUNDLE)
    with pytest.raises(ThresholdError, match="no golden picture fails at the threshold"):
        golden(bundle, 100.0)
    with pytest.raises(ThresholdError, match="no golden picture passes"):
        golden(bundle, -100.0)


def test_an_engine_that_lies_on_the_other_side_is_refused() -> None:
    bundle = open_bundle(PACKAGED_BUNDLE)
    scores = sorted(image.score for image in bundle.golden().images)
    with pytest.raises(ThresholdError, match="lies at the threshold"):
        golden(bundle, scores[-1] - 1e-4, off=-1e-3)
