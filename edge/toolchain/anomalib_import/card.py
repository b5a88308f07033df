"""Render the card of an imported bundle: where it comes from, its evidence and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.bundle.manifest import ParityRecord, Recipe
from edge.bundle.thresholds import Threshold
from edge.toolchain.anomalib_import.seen_area import SeenArea

# Where anomalib's post-processor clamps, unless its normalisation is off.
LEAST, MOST = 0.0, 1.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an imported model.

    Attributes:
        files: name and SHA-256 of each exported file.
        scores: of the good parts that set the threshold.
        called_anomalous: of these, by its own threshold; None where it has none.
        area: see SeenArea; `seen_share` of the frame.
        batch: fixed by the export; each picture fills all places.
        resizes: the graph takes frames as they are and resizes them itself.
        is_quantized: the export computes in 8 bits where the processor can.
    """

    files: Sequence[tuple[str, str]]
    scores: Sequence[float]
    called_anomalous: int | None
    area: SeenArea
    seen_share: float
    batch: int
    resizes: bool
    is_quantized: bool = False

    @property
    def is_clamped(self) -> bool:
        """Scores are those of a post-processor that clamps them to 0..1."""
        return all(LEAST <= score <= MOST for score in self.scores)


def card_text(
    facts: Facts, recipe: Recipe, threshold: Threshold, parity: ParityRecord, licence: str
) -> str:
    """Render card.md."""
    width, height = recipe.size_wh
    source = ", ".join(f"{name} ({sha256[:12]})" for name, sha256 in facts.files)
    resized = "by the graph" if facts.resizes else "before the graph"
    scale = f"{recipe.mm_per_px} mm per pixel" if recipe.mm_per_px else "no scale: areas in pixels"
    return f"""# {recipe.product}

Judges pictures of **{recipe.product}** with a model that anomalib exported. What it was trained on
is not known here.

| | |
|---|---|
| method | anomalib, imported from {source} |
| input | whole frames, {width} x {height}, resized {resized}; {scale} |
| held out | {threshold.n} good pictures of {threshold.groups} parts, which the model has not \
seen by the word of whoever imported it |
| threshold | {threshold.value:.4f}, {threshold.method}, rank {threshold.rank} of {threshold.n} |
| false-reject rate | {threshold.alpha:.2%} intended; at most {threshold.bound95:.1%} with 95 % \
confidence, counting parts as independent |
| the model's own threshold | {own_threshold(facts)} |
| parity | {parity.reference} against {parity.backend} {parity.backend_version}, {parity.images} \
pictures: score within {parity.score_difference:.1e}, {parity.verdict_flips} verdicts flipped |
| defect types | none: every region is unknown |
| licence | {licence} |

{"".join(f"- {line}{chr(10)}" for line in limits(facts, threshold))}
Thresholds hold for parts and pictures like these; check the rate on fresh good parts before relying
on it.
"""


def own_threshold(facts: Facts) -> str:
    """What the model itself says of the good parts."""
    if facts.called_anomalous is None:
        return "none in the export"
    return (
        f"not used; it calls {facts.called_anomalous} of these {len(facts.scores)} good pictures "
        "anomalous"
    )


def limits(facts: Facts, threshold: Threshold) -> list[str]:
    """Limits of the imported model, one sentence each."""
    lines = []
    distinct = len(set(facts.scores))
    if facts.is_clamped:
        lines.append(
            f"Scores are clamped to 0..1: {_count(facts.scores, LEAST)} of {len(facts.scores)} "
            f"good pictures have 0, {_count(facts.scores, MOST)} have 1, and {distinct} values "
            "differ. Parts at 1 cannot be told apart."
        )
        if threshold.value <= LEAST:
            lines.append(
                "The threshold stands where scores are clamped: any score above 0 fails. Export "
                "with PostProcessor(enable_normalization=False) for a threshold with room below."
            )
    elif distinct < len(facts.scores) / 2:
        lines.append(f"Only {distinct} of {len(facts.scores)} scores of good pictures differ.")
    if facts.batch > 1:
        lines.append(
            f"The export takes {facts.batch} pictures at once: each frame is judged "
            f"{facts.batch} times, and takes that much longer."
        )
    if facts.is_quantized:
        lines.append(
            "The export is quantized: its layers compute in 8 bits where the processor can, and "
            "scores may differ between processors. A station judges golden pictures at its start."
        )
    if not facts.area.is_whole:
        lines.append(
            f"The model sees {facts.seen_share:.0%} of the frame, around its middle: its "
            "pre-processing crops. A defect at the border is not seen."
        )
    lines.append(
        "anomalib scales map and score apart. Regions are where the map exceeds "
        f"{threshold.value:.4f}; a part may fail without one."
    )
    return lines


def _count(scores: Sequence[float], value: float) -> int:
    return sum(score == value for score in scores)
