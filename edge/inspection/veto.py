"""Regions that the types call normal after all: flagged as false alarms, and always reported.

MAVIS' region stage with a class for false alarms, on the line. A veto is a claim of the types
graph's normal row; it lets a part pass only where the recipe says so, every region is vetoed, and
there is no other reason against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge.bundle.manifest import Recipe
from edge.inspection.decision import Decision
from edge.inspection.regions import MAX_REGIONS
from edge.result import Reason, Region, Verdict


def veto_regions(regions: Sequence[Region], above: float | None) -> tuple[Region, ...]:
    """Flag the regions whose probability of being normal is higher than `above`; None flags none.

    A region that was not named has no such probability, and stays.
    """
    if above is None:
        return tuple(regions)
    return tuple(
        replace(region, vetoed=region.false_alarm is not None and region.false_alarm > above)
        for region in regions
    )


def reconsider(decision: Decision, regions: Sequence[Region], recipe: Recipe) -> Decision:
    """Add what was vetoed to a decision, and pass the part where the recipe allows it.

    A part fails all the same if one region is left, if there are more regions than are listed, or
    if the quality of its frame is in doubt.

    Args:
        decision: from the score.
        regions: all regions of the part, from `veto_regions`.
        recipe: gives `veto_above` and `veto_passes`.
    """
    vetoed = [region for region in regions if region.vetoed]
    if not vetoed:
        return decision
    least = min(region.false_alarm or 0.0 for region in vetoed)
    veto = (
        f"{len(vetoed)} of {len(regions)} regions vetoed as false alarms: normal with {least:.3f} "
        f"or more, limit {recipe.veto_above}"
    )
    detail = "; ".join(filter(None, (decision.detail, veto)))
    passes = (
        recipe.veto_passes
        and decision.reason is Reason.SCORE_ABOVE_THRESHOLD
        and not decision.detail
        and len(vetoed) == len(regions) < MAX_REGIONS
    )
    if passes:
        return replace(decision, verdict=Verdict.PASS, reason=Reason.REGIONS_VETOED, detail=detail)
    return replace(decision, detail=detail)
