"""Defect types that reject only when they are strong: a threshold of their own, above the common.

A part has one score. Where all that it shows is of such types, the lowest of their thresholds
decides on that score in place of the common one (docs/adr/0053). It is never below the common one,
so that a type cannot reject a part that passes without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge.bundle.manifest import Recipe
from edge.bundle.store import Bundle
from edge.bundle.thresholds import Thresholds
from edge.inspection.decision import Decision
from edge.inspection.regions import MAX_REGIONS
from edge.result import Reason, Region, Verdict


def with_thresholds(regions: Sequence[Region], thresholds: Thresholds) -> tuple[Region, ...]:
    """Give each region the threshold of its type, where that has one of its own."""
    if not thresholds.types:
        return tuple(regions)
    own = {
        name: max(each.score.value, thresholds.score.value)
        for name, each in thresholds.types.items()
    }
    return tuple(replace(region, threshold=own.get(region.type)) for region in regions)


def deciding_regions(regions: Sequence[Region], recipe: Recipe) -> tuple[Region, ...]:
    """Regions whose types decide on a part; none where there are more than are listed.

    A vetoed region has no say where the recipe lets parts pass by vetoes.
    """
    if len(regions) >= MAX_REGIONS:
        return ()
    return tuple(region for region in regions if not (region.vetoed and recipe.veto_passes))


def decide_by_type(
    decision: Decision, score: float, regions: Sequence[Region], bundle: Bundle
) -> Decision:
    """Judge a part by the threshold of its types, where all of its regions have one.

    A part stays as it is whose frame is in doubt, or that shows no region at all.

    Args:
        decision: by the common threshold.
        score: of the part.
        regions: all of the part, with their thresholds and vetoes.
        bundle: gives the recipe.
    """
    if decision.reason is not Reason.SCORE_ABOVE_THRESHOLD or decision.detail:
        return decision
    limits = [(r.threshold, r.type) for r in deciding_regions(regions, bundle.recipe)]
    known = [(threshold, name) for threshold, name in limits if threshold is not None]
    if not known or len(known) < len(limits):
        return decision
    threshold, name = min(known)
    decision = replace(decision, threshold=threshold, threshold_type=name)
    if score > threshold:
        return decision
    return replace(decision, verdict=Verdict.PASS, reason=Reason.WITHIN_TYPE_THRESHOLD)
