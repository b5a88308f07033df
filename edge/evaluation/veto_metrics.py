"""What the types say of false alarms, and what a veto does to parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.result import Inspection, Reason


@dataclass(frozen=True, slots=True)
class VetoMetrics:
    """Regions on good parts are false alarms; NaN where there is none that was named.

    Attributes:
        negation_error: share of them that the types call a defect rather than normal.
        vetoed: share of them that was set aside.
        passed_good, passed_defective: parts that passed because all their regions were.
    """

    negation_error: float
    vetoed: float
    passed_good: int
    passed_defective: int


def veto_metrics(parts: Sequence[tuple[bool, Inspection]]) -> VetoMetrics:
    """Measure inspected parts, (is good, inspection) each."""
    alarms = [
        region
        for is_good, inspection in parts
        for region in inspection.regions
        if is_good and region.false_alarm is not None
    ]
    passed = [
        is_good for is_good, inspection in parts if inspection.reason is Reason.REGIONS_VETOED
    ]
    wrong = sum((region.false_alarm or 0.0) < 0.5 for region in alarms)
    vetoed = sum(region.vetoed for region in alarms)
    return VetoMetrics(
        negation_error=wrong / len(alarms) if alarms else float("nan"),
        vetoed=vetoed / len(alarms) if alarms else float("nan"),
        passed_good=sum(passed),
        passed_defective=len(passed) - sum(passed),
    )
