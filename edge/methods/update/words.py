"""What an update found, in lines for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge.methods.update.proof import Proof

# Names of reviews in one line.
NAMED = 5


def as_lines(document: Mapping[str, Any]) -> list[str]:
    """Lines of update.json: what taught, what was left out, and the table before and after."""
    proof, left_out = document["proof"], document["left_out"]
    taught = f"{len(document['reviews'])} reviews read, judged by {', '.join(document['recipes'])}"
    lines = [f"{taught}; left out: {counted(left_out)}" if left_out else taught]
    lines += [f"{reason}: {shortened(names)}" for reason, names in left_out.items()]
    lines += document["notes"]
    for what, trial in document["trials"].items():
        if trial is not None:
            outcome = "learned" if trial["is_kept"] else "tried and not kept"
            lines.append(f"{what.replace('_', ' ')}: {outcome}")
    if not document["is_changed"]:
        lines.append("nothing was kept: the run judges as before")
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
            lines.append(f"verdicts now {what}: {shortened(proof[what])}")
    return lines


def in_words(proof: Proof) -> str:
    """Say in one line what an update did."""
    before, after = proof.before, proof.after
    recalls = ", ".join(
        f"recall at {rate} {_share(old)} -> {_share(new)}"
        for rate, old, new in (
            ("1 %", before.recall_at_1_percent, after.recall_at_1_percent),
            ("5 %", before.recall_at_5_percent, after.recall_at_5_percent),
        )
    )
    worse = f" (worse: {shortened(proof.worse)})" if proof.worse else ""
    return (
        f"{recalls} on {proof.good} good and {proof.defective} defective pictures of the frozen "
        f"test, verdicts right on {before.right} -> {after.right} of {proof.reviews} reviews{worse}"
    )


def counted(left_out: Mapping[str, Sequence[str]]) -> str:
    """Say how many reviews were left out for each reason."""
    return ", ".join(f"{len(names)} {reason}" for reason, names in left_out.items()) or "none"


def shortened(names: Sequence[str]) -> str:
    """The first names of a list."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
