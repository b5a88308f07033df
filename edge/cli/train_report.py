"""What edge-train says of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.cli.train_options import Options
    from edge.methods.run_record import InstantRecord, RunRecord, TypeLabels, TypesRecord

# Suspicious pictures that are named in one line.
NAMED = 5


def report(out: Path, method: str, options: Options, record: RunRecord) -> list[str]:
    """Lines of text: what training found, and what to do next."""
    lines = []
    if method == "types":
        if getattr(options, "false_rejects", None) is not None:
            lines += _false_rejects(out, record)
        if record.types is not None:
            names_only = getattr(options, "names_only", False)
            lines += _types(out, record, record.types, names_only=names_only)
    elif method == "update":
        lines += _update(out)
    elif method == "inp-former":
        lines += _refined_mask(out, record) + _suspicious(out, record)
    else:
        lines += _own_defects(out, record) + _negation(out, record)
    width, height = record.model.size_wh
    if record.instant is not None and method == "inp-former":
        return _instant(out, record, record.instant)
    judged = f"{record.data.held_out_images} held out"
    if not record.data.held_out_images:
        judged = f"each of {record.data.train_groups} parts judged by a training without it"
    lines.append(
        f"{out}: trained on {record.data.train_images} good pictures at {width}x{height}, "
        f"{judged}; next: edge-build {out} --out BUNDLE"
    )
    return lines


def _instant(out: Path, record: RunRecord, found: InstantRecord) -> list[str]:
    width, height = record.model.size_wh
    judged = "each part judged by the others"
    if found.scores_from != "parts left out":
        judged = "judged by its own other places, for there is no other part"
    made = (
        f"{out}: made of {record.data.train_images} good pictures and {found.views} changed views "
        f"of each at {width}x{height}, {judged}; nothing was trained"
    )
    following = (
        f"{out}: next: edge-build {out} --out BUNDLE; then collect good parts and train: "
        f"edge-train --data DIR --out {out} takes the place of this run"
    )
    return [made, following]


def _suspicious(out: Path, record: RunRecord) -> list[str]:
    """Good pictures that look as no other part does."""
    if not record.suspicious:
        return []
    fate = "nothing was learned from them"
    if not getattr(record.training, "trim", False):
        fate = "all the same learned from; --trim leaves them out"
    some = ", ".join(record.suspicious[:NAMED])
    more = ", ..." if len(record.suspicious) > NAMED else ""
    line = (
        f"{out}: {len(record.suspicious)} of {record.data.train_images} good pictures look as no "
        f"other part does, {fate}; look at them for defects: {some}{more} "
        f"(all in {out.name}/suspicious.csv)"
    )
    return [line]


def _refined_mask(out: Path, record: RunRecord) -> list[str]:
    trial = record.refiner
    if trial is None:
        return []
    line = (
        f"{out}: refined mask {'kept' if trial.is_kept else 'left out'}: pixel AP on synthetic "
        f"defects {trial.without:.3f} without, {trial.with_mask:.3f} with it"
    )
    return [line]


def _own_defects(out: Path, record: RunRecord) -> list[str]:
    """Which pictures test nothing any more."""
    if record.adapters is None or not record.adapters.own_defects:
        return []
    line = (
        f"{out}: learned from {len(record.adapters.own_defects)} labelled defects of "
        f"{record.data.name} itself; they test nothing any more (see run.yaml)"
    )
    return [line]


def _negation(out: Path, record: RunRecord) -> list[str]:
    learned = record.adapters
    if learned is None or not learned.negation_errors or learned.best_epoch is None:
        return []
    errors, best = learned.negation_errors, learned.best_epoch
    line = (
        f"{out}: on validation pictures, good cells nearest to a defect's text "
        f"{_change(errors[0], errors[best])} (epoch {best})"
    )
    return [line]


def _types(out: Path, record: RunRecord, found: TypesRecord, *, names_only: bool) -> list[str]:
    right = "unknown" if found.accuracy is None else f"{found.accuracy:.0%}"
    named = (
        f"{out}: names {', '.join(record.model.types)}; {right} of labelled regions right when "
        f"their part was left out; {len(found.own_defects)} labelled pictures of "
        f"{record.data.name} itself test nothing any more (see {out.name}/run.yaml)"
    )
    lines = [*(_labels(out, each) for each in found.labels), named]
    if found.probe is not None:
        trial = found.probe
        outcome = "the map has learned" if trial.is_kept else "the map does not use what it learned"
        lines.append(
            f"{out}: {outcome} from {trial.defects} labelled defects: image AUROC on labelled "
            f"parts left out {trial.auroc_before:.3f} -> {trial.auroc_after:.3f}"
        )
    elif found.own_defects and not names_only:
        lines.append(
            f"{out}: verdicts stay as they were: for the map to learn defects, it must be a "
            "calibrated one of a trained run, and --data must name the folders of all its products"
        )
    if found.negation is not None:
        changed = found.negation
        lines.append(
            f"{out}: on unseen parts, good regions nearest to a defect's text "
            f"{_change(changed.error_before, changed.error_after)}, nearer to a type than to its "
            f"denial {_change(changed.denials_before, changed.denials_after)}, types right "
            f"{_change(changed.accuracy_before, found.accuracy)}"
        )
    return lines


def _labels(out: Path, each: TypeLabels) -> str:
    """What one type was learned from, and what did not teach."""
    line = (
        f"{out}: {each.type}: {each.with_masks} pictures with masks, {each.without_masks} without, "
        f"{each.regions} regions learned"
    )
    return f"{line}; left out: {'; '.join(each.left_out)}" if each.left_out else line


def _false_rejects(out: Path, record: RunRecord) -> list[str]:
    trial = record.false_rejects
    if trial is None:
        return []
    what = "memory bank and probe have" if trial.with_probe else "the memory bank has"
    outcome = f"{what} learned" if trial.is_kept else "nothing was learned"
    line = (
        f"{out}: {outcome} from {trial.pictures} false rejects of {trial.parts} parts: of those "
        f"left out {trial.rejected_before} -> {trial.rejected_after} above 95 % of the good parts, "
        f"mean score {trial.score_before:.3f} -> {trial.score_after:.3f}; no good part rises by "
        f"more than {max(0.0, trial.good_rise):.4f}"
    )
    return [line]


def _update(out: Path) -> list[str]:
    """What an update has learned, and what it did."""
    import json

    from edge.cli.update_report import FILE, as_lines

    found = json.loads((out / FILE).read_text(encoding="utf-8"))
    return [f"{out}: {line}" for line in as_lines(found)]


def _change(before: float | None, after: float | None) -> str:
    return " -> ".join("unknown" if share is None else f"{share:.1%}" for share in (before, after))
