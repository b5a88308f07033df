"""Physical parts as strips: all pictures of one part in a row."""

from __future__ import annotations

from edge.evaluation.evaluate import Evaluation
from edge.evaluation.evaluated_part import EvaluatedPart
from edge.evaluation.report.page import Markup, fill, join, paragraph
from edge.evaluation.report.pictures import thumbnail

# Parts, and pictures of each, that are drawn: at most about 3 MB.
STRIPS, LENGTH = 60, 12

STRIP = """<details open>
<summary>part {name}: {wrong} of {count} wrong</summary>
<ul class="strip">
{pictures}
</ul>
</details>"""
PICTURE = """<li{mark}>{image}{said}</li>"""
REST = """<details>
<summary>{count} more parts, by name</summary>
<ul class="names">
{names}
</ul>
</details>"""


def draw_strips(result: Evaluation) -> list[Markup]:
    """Draw the parts with several pictures, those with the most wrong verdicts first.

    Raises:
        DataError: a picture is unreadable.
    """
    by_part: dict[str, list[EvaluatedPart]] = {}
    for item in result.parts:
        by_part.setdefault(item.sample.group, []).append(item)
    parts = {name: items for name, items in by_part.items() if len(items) > 1}
    if not result.has_groups:
        parts = {}
    if not parts:
        text = "No part has several pictures, as far as is known (split.csv tells)."
        return [paragraph(text, is_quiet=True)]
    ordered = sorted(parts, key=lambda name: (-_wrong(parts[name]), name))
    text = (
        f"{len(parts)} parts have several pictures, those with the most wrong verdicts come first. "
        "Wrong are good pictures that do not pass, and defective ones that do."
    )
    made = [paragraph(text, is_quiet=True)]
    made += [_strip(name, parts[name]) for name in ordered[:STRIPS]]
    if rest := ordered[STRIPS:]:
        line = "<li>{name}: {wrong} of {count} wrong</li>"
        names = join(
            fill(line, name=name, wrong=_wrong(parts[name]), count=len(parts[name]))
            for name in rest
        )
        made.append(fill(REST, count=len(rest), names=names))
    return made


def is_wrong(item: EvaluatedPart) -> bool:
    """A good picture that does not pass, or a defective one that does."""
    return item.sample.is_good == item.is_rejected


def _wrong(items: list[EvaluatedPart]) -> int:
    return sum(map(is_wrong, items))


def _strip(name: str, items: list[EvaluatedPart]) -> Markup:
    ordered = sorted(items, key=lambda item: (not is_wrong(item), item.name))
    pictures = [_picture(item) for item in ordered[:LENGTH]]
    if (more := len(ordered) - LENGTH) > 0:
        pictures.append(fill("<li>and {more} more</li>", more=more))
    return fill(STRIP, name=name, wrong=_wrong(items), count=len(items), pictures=join(pictures))


def _picture(item: EvaluatedPart) -> Markup:
    score = f" {item.score:.3f}" if item.is_judged else ""
    wrong = "WRONG: " if is_wrong(item) else ""
    said = f"{wrong}{item.sample.label}, {item.inspection.verdict.value}{score}"
    return fill(
        PICTURE,
        mark=Markup(' class="wrong"' if is_wrong(item) else ""),
        image=thumbnail(item.sample, item.name),
        said=said,
    )
