"""Two bundles on one page: figures side by side, and pictures whose verdict differs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from edge.data.image_set import Sample
from edge.evaluation.comparison import Change, Comparison
from edge.evaluation.evaluated_part import EvaluatedPart
from edge.evaluation.report.document import write_page
from edge.evaluation.report.galleries import (
    SHOWN_WRONG,
    Gallery,
    by_label,
    draw_gallery,
    said_of,
)
from edge.evaluation.report.heat import HeatScale
from edge.evaluation.report.page import Markup, fill, page, paragraph, section, table
from edge.evaluation.report.pictures import HeatView, figure, legend
from edge.evaluation.report.tables import difference_said, figure_rows
from edge.inspection.inspector import Inspected

TEXTS = {
    "newly missed": "Defective parts that A passes and B finds.",
    "newly found": "Defective parts that A finds and B passes.",
    "newly rejected": "Good parts that B passes and A does not.",
    "no longer rejected": "Good parts that A passes and B does not.",
}


class Side(NamedTuple):
    """One of the two bundles: what it is called, and its inspector of samples."""

    name: str
    inspect: Callable[[Sample], Inspected]


def changed_galleries(comparison: Comparison) -> dict[str, Gallery]:
    """Changed verdicts by kind; as many are drawn as misses of a report."""
    return {
        kind: Gallery(
            kind.capitalize(),
            TEXTS[kind],
            "None.",
            tuple(change.first for change in changes),
            by_label,
            SHOWN_WRONG,
        )
        for kind, changes in comparison.kinds.items()
    }


def changes_shown(comparison: Comparison) -> int:
    """Number of pictures that the page draws."""
    return sum(len(gallery.drawn) for gallery in changed_galleries(comparison).values())


def write_comparison(
    file: Path,
    comparison: Comparison,
    name: str,
    sides: tuple[Side, Side],
    advance: Callable[[int], None],
) -> None:
    """Write the comparison of bundles A and B on the data set `name`, one file.

    Raises:
        ConfigError: the file cannot be written.
        DataError: a picture has become unreadable.
        EngineError: an engine fails.
    """
    results = (comparison.first, comparison.second)
    scales = [HeatScale.of(result) for result in results]
    changes = {id(change.first): change for change in comparison.changed}

    def draw(item: EvaluatedPart) -> Markup:
        sample = item.sample
        views = [
            HeatView(letter, side.inspect(sample), scale)
            for letter, side, scale in zip("AB", sides, scales)
        ]
        advance(1)
        return figure(sample, views, item.name, _said(changes[id(item)], comparison))

    def brief(item: EvaluatedPart) -> str:
        return f"score {item.score:.3f} of A, {changes[id(item)].second.score:.3f} of B"

    first, second = sides
    galleries = changed_galleries(comparison)
    pictures = [part for g in galleries.values() for part in draw_gallery(g, draw, brief)]
    title = f"Two bundles on {name}"
    counts = [[kind, len(gallery.parts)] for kind, gallery in galleries.items()]
    body = [
        fill("<h1>{title}</h1>", title=title),
        fill("<p>A: {first}<br>B: {second}</p>", first=first.name, second=second.name),
        section(
            "Figures",
            table("Both on the same pictures", ["", "A", "B", "A less B"], figure_rows(comparison)),
            paragraph(difference_said(comparison.difference()), is_quiet=True),
        ),
        section("Verdicts that changed", table("Of A, judged against B", ["", "parts"], counts)),
        section("Pictures", legend(), *pictures),
    ]
    write_page(file, page(title, body))


def _said(change: Change, comparison: Comparison) -> str:
    first = said_of(change.first, comparison.first)
    return f"A: {first}. B: {said_of(change.second, comparison.second)}"
