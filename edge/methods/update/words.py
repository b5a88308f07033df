"""What an update found, in one line for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge.data.left_out import in_short
from edge.methods.update.proof import Proof


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
    worse = f" (worse: {in_short(list(proof.worse))})" if proof.worse else ""
    return (
        f"{recalls} on {proof.good} good and {proof.defective} defective pictures of the frozen "
        f"test, verdicts right on {before.right} -> {after.right} of {proof.reviews} reviews{worse}"
    )


def counted(left_out: Mapping[str, Sequence[str]]) -> str:
    """Say how many reviews were left out for each reason."""
    return ", ".join(f"{len(names)} {reason}" for reason, names in left_out.items()) or "none"


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
