"""Which parts are worth a look, and their pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from edge.data.image_set import Sample
from edge.evaluation.evaluate import Evaluation
from edge.evaluation.evaluated_part import EvaluatedPart
from edge.evaluation.report.page import Markup, fill, join, paragraph
from edge.evaluation.report.pictures import figure, legend, types_said
from edge.inspection.inspector import Inspected
from edge.result import UNKNOWN_TYPE

SHOWN = 8


class Gallery(NamedTuple):
    """Parts of one kind, the most telling first; `none` is said when there are none."""

    title: str
    text: str
    none: str
    parts: tuple[EvaluatedPart, ...]


def galleries(result: Evaluation) -> tuple[Gallery, ...]:
    """Choose what to show."""
    rising = sorted(result.judged, key=lambda item: item.score)
    falling = rising[::-1]
    found = [item for item in falling if not item.sample.is_good and item.is_rejected]
    chosen = [
        Gallery(
            "Worst misses",
            "Defective parts that pass, lowest score first.",
            "No defective part passes.",
            tuple(i for i in rising if not i.sample.is_good and not i.is_rejected),
        ),
        Gallery(
            "Worst false rejects",
            "Good parts that do not pass, highest score first.",
            "Every good part passes.",
            tuple(i for i in falling if i.sample.is_good and i.is_rejected),
        ),
    ]
    if result.types:
        found.sort(key=_confidence, reverse=True)
        chosen.append(
            Gallery(
                "Wrong names",
                "Found, but named another type, most confident first; then those left unknown.",
                "Every defect that is found has the right name.",
                tuple(i for i in found if i.called != i.sample.label),
            )
        )
        found = [item for item in found if item.called == item.sample.label]
    chosen.append(
        Gallery(
            "Most confident correct ones",
            "Found and, where the bundle names types, named right; one of each type at a time.",
            "None.",
            tuple(_alternating(found)),
        )
    )
    return tuple(chosen)


def shown(result: Evaluation) -> int:
    """Number of pictures that `draw_galleries` draws."""
    return sum(len(gallery.parts[:SHOWN]) for gallery in galleries(result))


def draw_galleries(
    result: Evaluation, inspect: Callable[[Sample], Inspected], advance: Callable[[int], None]
) -> list[Markup]:
    """Draw at most SHOWN parts of each gallery."""
    drawn = [legend()] if shown(result) else []
    for gallery in galleries(result):
        drawn.append(fill("<h3>{title}</h3>", title=gallery.title))
        if not gallery.parts:
            drawn.append(paragraph(gallery.none))
            continue
        figures = []
        for item in gallery.parts[:SHOWN]:
            figures.append(_figure(item, result, inspect(item.sample)))
            advance(1)
        count = f" Shown: {len(figures)} of {len(gallery.parts)}."
        drawn.append(paragraph(gallery.text + count, is_quiet=True))
        drawn.append(fill('<div class="pictures">\n{all}\n</div>', all=join(figures)))
    return drawn


def _figure(item: EvaluatedPart, result: Evaluation, inspected: Inspected) -> Markup:
    sample, inspection = item.sample, item.inspection
    said = [inspection.verdict.value, f"score {item.score:.3f} at threshold {result.threshold:.3f}"]
    if inspection.detail:
        said.append(inspection.detail)
    if inspection.regions:
        count = len(inspection.regions)
        types = f" ({types_said(inspection.regions)})" if result.types else ""
        said.append(f"{count} region{'s'[: count - 1]}{types}")
    if result.types and not sample.is_good and item.is_rejected:
        said.append(f"called {item.called}")
    return figure(sample, inspected, f"{sample.label}/{sample.path.name}", "; ".join(said))


def _confidence(item: EvaluatedPart) -> tuple[bool, float, float]:
    """Unknown ones last, then confidence in the name, then score."""
    scores = [r.type_score or 0.0 for r in item.inspection.regions if r.type == item.called]
    return item.called != UNKNOWN_TYPE, max(scores, default=0.0), item.score


def _alternating(parts: Sequence[EvaluatedPart]) -> list[EvaluatedPart]:
    """The first of every label, then the second of every label, and so on."""
    seen: dict[str, int] = {}
    rounds = []
    for item in parts:
        rounds.append(seen.get(item.sample.label, 0))
        seen[item.sample.label] = rounds[-1] + 1
    return [item for _, item in sorted(zip(rounds, parts), key=lambda pair: pair[0])]
