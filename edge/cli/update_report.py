"""What edge-train says of an update by reviews: RUN/update.json in lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.data.left_out import in_short

FILE = "update.json"
_NOT_KEPT = "names: tried and not kept, the run names as before"


def as_lines(document: Mapping[str, Any]) -> list[str]:
    """Lines of update.json: what taught, what was left out, and the table before and after."""
    proof, left_out = document["proof"], document["left_out"]
    counted = ", ".join(f"{len(names)} {reason}" for reason, names in left_out.items())
    taught = f"{len(document['reviews'])} reviews read, judged by {', '.join(document['recipes'])}"
    lines = [f"{taught}; left out: {counted}" if left_out else taught]
    lines += [f"{reason}: {in_short(names)}" for reason, names in left_out.items()]
    for what, trial in document["trials"].items():
        if trial is not None:
            outcome = "learned" if trial["is_kept"] else "tried and not kept"
            lines.append(f"{what.replace('_', ' ')}: {outcome}")
    if not document["is_changed"]:
        lines.append("nothing was kept: the run judges as before")
    if document["names"] is not None:
        lines += _names(document["names"])
    before, after = proof["before"], proof["after"]
    lines.append("                                before   after")
    for name, key in (("recall at 1 % false rejects", "recall_at_1_percent"),
                      ("recall at 5 % false rejects", "recall_at_5_percent")):  # fmt: skip
        lines.append(f"{name:30}  {_share(before[key]):>7} {_share(after[key]):>7}")
    right = f"verdicts right of {proof['reviews']} reviews"
    lines.append(f"{right:30}  {before['right']:7} {after['right']:7}")
    lines.append(f"frozen test: {proof['good']} good, {proof['defective']} defective pictures")
    for what in ("worse", "better"):
        if proof[what]:
            lines.append(f"verdicts now {what}: {in_short(proof[what])}")
    return lines


def _names(found: Mapping[str, Any]) -> list[str]:
    """What reviews have taught of names, and on how many of the frozen test they are right."""
    lines = [
        f"{each['type']}: its name learned from {each['with_masks']} drawn and "
        f"{each['without_masks']} other defects, {each['regions']} with a region"
        for each in found["labels"]
    ]
    lines += [f"{label}: not learned: {why}" for label, why in found["left_out"].items()]
    if found["types"]:
        before, after = (_count(found[key]) for key in ("right_before", "right_after"))
        kept = f"names {', '.join(found['types'])}" if found["is_kept"] else _NOT_KEPT
        lines.append(
            f"{kept}; right on {before} -> {after} of {found['pictures']} defects of the frozen "
            "test that are of these types"
        )
    return lines


def _count(value: int | None) -> str:
    return "none" if value is None else str(value)


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
