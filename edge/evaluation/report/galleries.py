"""Which parts are worth a look, and their pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from edge.data.image_set import Sample
from edge.evaluation.evaluate import Evaluation
from edge.evaluation.evaluated_part import EvaluatedPart
from edge.evaluation.report.heat import HeatScale
from edge.evaluation.report.page import Markup, fill, join, paragraph
from edge.evaluation.report.pictures import HeatView, figure, legend, types_said
from edge.inspection.inspector import Inspected
from edge.result import UNKNOWN_TYPE

# Examples of what went well, or of names; and pictures of what went wrong, of which the rest is
# listed by name: a hundred have about 5 MB.
SHOWN, SHOWN_WRONG = 8, 100

GROUP = """<details open>
<summary>{name}</summary>
<div class="pictures">
{figures}
</div>
</details>"""
REST = """<details>
<summary>{count} more, by name</summary>
<ul class="names">
{names}
</ul>
</details>"""


def by_label(item: EvaluatedPart) -> str:
    """Group of a picture: its type."""
    return item.sample.label


def by_part(item: EvaluatedPart) -> str:
    """Group of a picture: the physical part it shows."""
    return f"part {item.sample.group}"


def together(_item: EvaluatedPart) -> str:
    """One group for all."""
    return ""


class Gallery(NamedTuple):
    """Parts of one kind, the most telling first; `none` is said when there are none.

    `limit` of them are drawn, of each group as many as of the others.
    """

    title: str
    text: str
    none: str
    parts: tuple[EvaluatedPart, ...]
    group: Callable[[EvaluatedPart], str] = together
    limit: int = SHOWN

    @property
    def drawn(self) -> tuple[EvaluatedPart, ...]:
        """Those with a picture."""
        return tuple(alternating(self.parts, self.group)[: self.limit])

    @property
    def named(self) -> tuple[EvaluatedPart, ...]:
        """Those without."""
        drawn = {id(item) for item in self.drawn}
        return tuple(item for item in self.parts if id(item) not in drawn)

    @property
    def groups(self) -> dict[str, list[EvaluatedPart]]:
        """Drawn parts by group, in the order of the first of each."""
        grouped: dict[str, list[EvaluatedPart]] = {}
        for item in self.drawn:
            grouped.setdefault(self.group(item), []).append(item)
        return grouped


def galleries(result: Evaluation) -> tuple[Gallery, ...]:
    """Choose what to show."""
    rising = sorted(result.judged, key=lambda item: item.score)
    falling = rising[::-1]
    unjudged = [item for item in result.parts if not item.is_judged]
    found = [item for item in falling if not item.sample.is_good and item.is_rejected]
    chosen = [
        Gallery(
            "Misses",
            "Defective parts that pass, by type, lowest score first.",
            "No defective part passes.",
            tuple(i for i in rising if not i.sample.is_good and not i.is_rejected),
            by_label,
            SHOWN_WRONG,
        ),
        Gallery(
            "False rejects",
            "Good parts that do not pass, highest score first, by part where parts are known.",
            "Every good part passes.",
            tuple(i for i in (*falling, *unjudged) if i.sample.is_good and i.is_rejected),
            by_part if result.has_groups else together,
            SHOWN_WRONG,
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
            tuple(alternating(found, by_label)),
        )
    )
    return tuple(chosen)


def shown(result: Evaluation) -> int:
    """Number of pictures that `draw_galleries` draws."""
    return sum(len(gallery.drawn) for gallery in galleries(result))


def draw_galleries(
    result: Evaluation, inspect: Callable[[Sample], Inspected], advance: Callable[[int], None]
) -> list[Markup]:
    """Draw the galleries, and list by name what has no room."""
    scale = HeatScale.of(result)

    def draw(item: EvaluatedPart) -> Markup:
        view = HeatView("", inspect(item.sample), scale)
        advance(1)
        return figure(item.sample, [view], item.name, said_of(item, result))

    drawn = [legend()] if shown(result) else []
    for gallery in galleries(result):
        drawn += draw_gallery(gallery, draw, lambda item: f"score {item.score:.3f}")
    return drawn


def draw_gallery(
    gallery: Gallery,
    draw: Callable[[EvaluatedPart], Markup],
    brief: Callable[[EvaluatedPart], str],
) -> list[Markup]:
    """Make heading, pictures by group and the list of the rest, each with its `brief`."""
    made = [fill("<h3>{title}</h3>", title=gallery.title)]
    if not gallery.parts:
        return [*made, paragraph(gallery.none)]
    count = f" Shown: {len(gallery.drawn)} of {len(gallery.parts)}."
    made.append(paragraph(gallery.text + count, is_quiet=True))
    for name, items in gallery.groups.items():
        figures = join(draw(item) for item in items)
        if name:
            total = sum(gallery.group(item) == name for item in gallery.parts)
            made.append(fill(GROUP, name=f"{name}: {total}", figures=figures))
        else:
            made.append(fill('<div class="pictures">\n{all}\n</div>', all=figures))
    # Examples stand for the others; what went wrong is told in full.
    if gallery.named and gallery.limit == SHOWN_WRONG:
        names = join(
            fill("<li>{name}, {brief}</li>", name=item.name, brief=brief(item))
            for item in gallery.named
        )
        made.append(fill(REST, count=len(gallery.named), names=names))
    return made


def said_of(item: EvaluatedPart, result: Evaluation) -> str:
    """Verdict, score, regions and names of one picture."""
    sample, inspection = item.sample, item.inspection
    said = [inspection.verdict.value]
    if item.is_judged:
        said.append(f"score {item.score:.3f} at threshold {result.threshold:.3f}")
    if inspection.detail:
        said.append(inspection.detail)
    if inspection.regions:
        count = len(inspection.regions)
        types = f" ({types_said(inspection.regions)})" if result.types else ""
        said.append(f"{count} region{'s'[: count - 1]}{types}")
    if result.types and not sample.is_good and item.is_rejected:
        said.append(f"called {item.called}")
    return "; ".join(said)


def alternating(
    parts: Sequence[EvaluatedPart], group: Callable[[EvaluatedPart], str]
) -> list[EvaluatedPart]:
    """The first of every group, then the second of every group, and so on."""
    seen: dict[str, int] = {}
    rounds = []
    for item in parts:
        name = group(item)
        rounds.append(seen.get(name, 0))
        seen[name] = rounds[-1] + 1
    return [item for _, item in sorted(zip(rounds, parts), key=lambda pair: pair[0])]


def _confidence(item: EvaluatedPart) -> tuple[bool, float, float]:
    """Unknown ones last, then confidence in the name, then score."""
    scores = [r.type_score or 0.0 for r in item.inspection.regions if r.type == item.called]
    return item.called != UNKNOWN_TYPE, max(scores, default=0.0), item.score
