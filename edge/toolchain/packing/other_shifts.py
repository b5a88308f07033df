"""What another shift would cost: how many good parts are rejected in other light or place."""

from __future__ import annotations

from collections.abc import Sequence

from edge.bundle.operating_points import OtherShift
from edge.data.augmentation import DEGREES, EXPOSURE, PIXELS, WARMTH
from edge.training.run_folder import KindScores

WORDS = {
    "darker": f"{EXPOSURE:.0%} darker",
    "brighter": f"{EXPOSURE:.0%} brighter",
    "warmer": f"under a lamp {WARMTH:.0%} warmer",
    "cooler": f"under a lamp {WARMTH:.0%} cooler",
    "moved": f"moved by {PIXELS:g} pixels",
    "turned": f"turned by {DEGREES:g} degrees",
}
# A change is told of that rejects this share of the parts, and this many times what is asked for.
LEAST_SHARE = 0.1
TIMES = 3.0


def other_shifts(shifted: KindScores, threshold: float) -> list[OtherShift]:
    """How many of the changed good pictures are over the threshold, change by change."""
    changes = dict.fromkeys(change for change, _ in shifted)
    scores = {own: [score for change, score in shifted if change == own] for own in changes}
    return [
        OtherShift(
            change=change, pictures=len(found), rejected=sum(score > threshold for score in found)
        )
        for change, found in scores.items()
    ]


def too_many(shifts: Sequence[OtherShift], alpha: float) -> list[OtherShift]:
    """Changes that reject far more good parts than the share `alpha`, worst first."""
    least = max(LEAST_SHARE, TIMES * alpha)
    return sorted((each for each in shifts if each.share >= least), key=lambda each: -each.share)


def told(shifts: Sequence[OtherShift]) -> str:
    """`18 of 24 good pictures turned by 2 degrees, 5 of 24 15% darker`."""
    return ", ".join(
        f"{each.rejected} of {each.pictures}{' good pictures' if not number else ''} "
        f"{WORDS.get(each.change, each.change)}"
        for number, each in enumerate(shifts)
    )
