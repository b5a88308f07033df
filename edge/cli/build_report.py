"""What edge-build says of the evidence: odd parts, recall against false rejects, more parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from edge.cli.console import rich_console

if TYPE_CHECKING:
    from edge.bundle.operating_points import OperatingPoints
    from edge.toolchain.packing.odd_parts import WithoutOdd


def print_outlying(pictures: Sequence[tuple[str, float]], usual: float) -> None:
    """Point at good pictures that alone hold the threshold up; `usual` is the next score."""
    if not pictures:
        return
    named = ", ".join(f"{name} ({score:.2f})" for name, score in pictures)
    _say(
        f"look at {named}: held out as good, but far above all others (at most {usual:.2f}), and "
        "the threshold rests on them; if they show a defect, take them out and train again"
    )


def print_odd_parts(odd: WithoutOdd, threshold: float) -> None:
    """Point at good parts that hold the threshold up, and say what it would be without them."""
    named = ", ".join(
        f"{part.name} (median {part.median:.2f} of {part.pictures})" for part in odd.parts
    )
    found = ""
    if odd.recall is not None and odd.recall_before is not None:
        found = (
            f", and {odd.recall:.0%} of the synthetic defects would be found instead of "
            f"{odd.recall_before:.0%}"
        )
    options = " ".join(f"--leave-out {part.name}" for part in odd.parts)
    _say(
        f"odd parts: {named}; the medians of the others reach {odd.usual:.2f}. Without them the "
        f"threshold would be {odd.threshold:.2f} instead of {threshold:.2f}{found}. If parts like "
        f"these may be rejected, build again with {options}; if they are defective, take them out "
        "and train again"
    )


def print_operating_points(points: OperatingPoints, shipped: float) -> None:
    """Print recall against false rejects, the suggested rate, and what more parts would buy."""
    columns = ["false rejects", "at most (95 %)", "threshold", "synthetic defects found"]
    if points.labelled:
        columns.append("labelled defects found")
    table = Table(title="what other rates would find", title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    for point in points.points:
        mark = " *" if point.alpha == shipped else ""
        rate = f"{point.alpha:.1%}{mark}"
        if point.threshold is None:
            table.add_row(rate, "too few parts")
            continue
        cells = [_share(point.bound95), f"{point.threshold:.4f}", _share(point.recall_synthetic)]
        table.add_row(rate, *cells, *([_share(point.recall_labelled)] if points.labelled else []))
    rich_console().print(table)
    lines = ["* in this bundle"]
    if points.suggested is not None:
        counted = f"{points.synthetic} synthetic"
        if points.labelled:
            counted += f" and {points.labelled} labelled"
        lines.append(
            f"suggested: --alpha {points.suggested:.3g}, by {counted} defects; a higher rate finds "
            "too few more of them"
        )
    there, *more = points.more_parts
    if more:
        bought = ", ".join(
            f"{row.parts} parts support {row.alpha:.1%} (at most {row.bound95:.1%})" for row in more
        )
        lines.append(
            f"{there.parts} good parts support {there.alpha:.1%} (at most {there.bound95:.1%}); "
            f"{bought}"
        )
    _say("\n".join(lines))


def print_other_shifts(worst: str, alpha: float, *, augmented: bool) -> None:
    """Warn of light and places that would reject far more good parts than `alpha`."""
    teach = "" if augmented else ", or train with --augment"
    _say(
        f"in another shift: {worst} would be rejected, where {alpha:.1%} is asked for; keep "
        f"light and place as in the pictures, align the parts (edge-calibrate align){teach}"
    )


def _say(text: str) -> None:
    rich_console().print(escape(text), soft_wrap=True, highlight=False)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
