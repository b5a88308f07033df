"""What evaluation says of false alarms and vetoes."""

from __future__ import annotations

import math
from dataclasses import replace

from edge.evaluation.veto_metrics import veto_metrics
from edge.result import Reason, Verdict
from tests.support.mqtt_results import SCRATCH, make_inspection


def part(*alarms: float | None, vetoed: int = 0, passes: bool = False):
    regions = tuple(
        replace(SCRATCH, false_alarm=alarm, vetoed=index < vetoed)
        for index, alarm in enumerate(alarms)
    )
    verdict = {"verdict": Verdict.PASS, "reason": Reason.REGIONS_VETOED} if passes else {}
    return make_inspection(regions=regions, **verdict)


def test_the_figures_by_hand() -> None:
    parts = [
        (True, part(0.97, 0.9, vetoed=2, passes=True)),
        (True, part(0.2, 0.6, None)),
        (True, part()),
        (False, part(0.99, vetoed=1, passes=True)),
        (False, part(0.01)),
    ]
    found = veto_metrics(parts)
    assert found.negation_error == 1 / 4, "of named regions on good parts"
    assert found.vetoed == 2 / 4
    assert (found.passed_good, found.passed_defective) == (1, 1)


def test_without_false_alarms_there_is_no_share() -> None:
    found = veto_metrics([(False, part(0.3)), (True, part(None))])
    assert math.isnan(found.negation_error)
    assert math.isnan(found.vetoed)
