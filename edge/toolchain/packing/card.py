"""Render the card of a bundle: its purpose, its evidence and its limits."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edge.bundle.manifest import ParityRecord, Recipe
from edge.bundle.operating_points import OtherShift
from edge.bundle.thresholds import Threshold
from edge.methods.run_record import RunRecord
from edge.toolchain.fast_form.form import FastForm
from edge.toolchain.packing.other_shifts import told
from edge.toolchain.packing.thresholds import DEFAULT_ALPHA


def card_text(
    record: RunRecord,
    recipe: Recipe,
    threshold: Threshold,
    parity: ParityRecord,
    licence: str,
    types: RunRecord | None = None,
    added: Sequence[str] = (),
    fast: FastForm | None = None,
    over: Sequence[tuple[str, float]] = (),
    shifts: Sequence[OtherShift] = (),
) -> str:
    """Render card.md.

    `types` is the run of the second graph, if there is one; `added` are types known by their words
    alone; `fast` is the fast form, if that is what the bundle holds; `over` as of unproven;
    `shifts` are good parts as other shifts would take them.
    """
    data = record.data
    width, height = recipe.size_wh
    tiles = "whole frames" if recipe.tiles_wh == (1, 1) else f"{recipe.tiles_wh} tiles"
    scale = f"{recipe.mm_per_px} mm per pixel" if recipe.mm_per_px else "no scale: areas in pixels"
    trained = f"{data.train_images} good pictures of {data.name} (seed {record.training.seed})"
    if record.origin is not None:
        trained = (
            f"other pictures: imported from {record.origin.name} ({record.origin.sha256[:12]})"
        )
    groups = "known parts" if data.has_groups else "parts unknown: every picture counts as one"
    return f"""# {recipe.product}

Judges pictures of **{recipe.product}** taken as the training pictures were: same camera, lens, lamp
and distance. Anything that good parts did not show may be called a defect; a defect that looks like
a good part will pass.

| | |
|---|---|
| method | {record.model.method}, preset {record.preset}, backbone weights: {record.weights} |
| input | {tiles}, resized to {width} x {height}; {scale} |
| trained on | {trained}{_labelled(record)}{"" if fast is None else f"; {fast}"} |
| held out | {_held_out(record, groups)} |
| threshold | {threshold.value:.4f}, {threshold.method}, rank {threshold.rank} of \
{threshold.n}{_left_out(threshold)} |
| false-reject rate | {threshold.alpha:.2%} intended; at most {threshold.bound95:.1%} with 95 % \
confidence, counting parts as independent |
| other light, other place | {_shifts(shifts)} |
| parity | {parity.reference} against {parity.backend} {parity.backend_version}, {parity.images} \
pictures: score within {parity.score_difference:.1e}, {parity.verdict_flips} verdicts flipped |
| defect types | {_types(recipe, record if types is None else types, added)} |
| licence | {licence} |

These pictures also set the scale of the map's branches. Thresholds hold for parts and
pictures like these; check the rate on fresh good parts before relying on it.
{"" if record.instant is None else chr(10) + unproven(threshold, over) + chr(10)}"""


def unproven(threshold: Threshold, over: Sequence[tuple[str, float]] = ()) -> str:
    """What is to be said of a run that was made of few parts at once.

    `over` names good parts that score over the threshold, with their scores.
    """
    needed = math.ceil(1 / DEFAULT_ALPHA - 1)
    basis = f"{threshold.groups} good parts, each judged by the others"
    if threshold.method == "augmented-views":
        basis = "changed views of a single picture; other parts differ more, all may be rejected"
    elif threshold.method == "other-places":
        basis = (
            "a single picture, each quarter judged by its other quarters, and on a margin for "
            "other parts that comes from other products"
        )
    elif threshold.groups == 1:
        basis = f"{threshold.n} pictures of a single part"
    instant = (
        f"instant: the false-reject rate is not proven, collect {needed} good parts and train; the "
        f"threshold rests on {basis}"
    )
    lines = [instant]
    if over:
        named = ", ".join(f"{name} ({score:.2f})" for name, score in over)
        lines.append(
            f"good parts over the threshold of {threshold.value:.2f}: {named}. To the other parts "
            "they look as a defect would, and parts like them are rejected: add pictures of such "
            "parts, or take them out if they show a defect"
        )
    # Between the p-value of a part just below the threshold and the next higher one.
    band = (len(over) + 2.5) / (threshold.groups + 1)
    if band < 1:
        lines.append(
            f"decision.undecided_p: {band:.2f} in the station file makes parts just below the "
            "threshold undecided, not pass"
        )
    return "\n".join(lines)


def _held_out(record: RunRecord, groups: str) -> str:
    data = record.data
    if not data.held_out_images and record.instant is None:
        judged = f"each of {data.train_groups} parts was judged by a training without it"
        return f"none; {judged} ({groups})"
    if record.instant is None:
        return f"{data.held_out_images} good pictures from {data.held_out_groups} parts ({groups})"
    return f"none; scores are of {record.instant.scores_from} ({groups})"


def _shifts(shifts: Sequence[OtherShift]) -> str:
    return f"rejected are {told(shifts)}" if shifts else "not tried"


def _left_out(threshold: Threshold) -> str:
    if not threshold.left_out:
        return ""
    return f"; without the parts {', '.join(threshold.left_out)}, which may be rejected"


def _labelled(record: RunRecord) -> str:
    found = None if record.types is None else record.types.probe
    if found is None or not found.is_kept:
        return ""
    return (
        f"; the map has also learned from {found.defects} labelled defects (image AUROC on "
        f"labelled parts left out {found.auroc_before:.3f} -> {found.auroc_after:.3f})"
    )


def _types(recipe: Recipe, record: RunRecord, added: Sequence[str]) -> str:
    learned = record.adapters or record.types
    if learned is None or not recipe.defect_types:
        return "none: every region is unknown"
    graph = ""
    if recipe.types_size_wh is not None:
        width, height = recipe.types_size_wh
        graph = f" by a second graph (preset {record.preset}, {width} x {height})"
    by_word = f"; by their words alone, without an example: {', '.join(added)}" if added else ""
    return (
        f"{', '.join(recipe.defect_types)}; named{graph}, learned from "
        f"{', '.join(learned.products)}, {len(learned.own_defects)} labelled pictures of this "
        f"product among them, which test nothing any more{by_word}"
    )
