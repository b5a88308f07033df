"""Scores of good parts and defects as bars, in text and as a picture (SVG in a page of HTML)."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ROWS, WIDTH = 16, 40


class Bars(NamedTuple):
    """Scores to draw, and the threshold that divides them; `name` says whose, "" of all."""

    name: str
    good: Sequence[float]
    defects: Sequence[float]
    threshold: float


def counts_of(
    good: Sequence[float], defects: Sequence[float], rows: int = ROWS
) -> tuple[NDArray[np.float64], NDArray[np.int_], NDArray[np.int_]]:
    """Return the (rows + 1,) edges of equal bins, and the (rows,) counts of both kinds."""
    edges = np.histogram_bin_edges([*good, *defects], rows)
    return edges, np.histogram(good, edges)[0], np.histogram(defects, edges)[0]


def as_text(bars: Bars) -> list[str]:
    """Return one line per bin: `#` good parts, `x` defects, and the threshold where it lies."""
    defects, threshold = bars.defects, bars.threshold
    edges, of_good, of_defects = counts_of(bars.good, defects)
    longest = max(1, int((of_good + of_defects).max()))
    lines = [bars.name] if bars.name else []
    for row, (low, high) in enumerate(pairwise(edges)):
        bar = "#" * _cells(of_good[row], longest) + "x" * _cells(of_defects[row], longest)
        is_last = row == len(of_good) - 1
        mark = ""
        if low <= threshold < high or (is_last and threshold >= high):
            mark = f"  <- threshold {threshold:.4f}"
        counted = f"{of_good[row]} good" + (f", {of_defects[row]} defects" if len(defects) else "")
        lines.append(f"{low:9.4f} {bar:<{WIDTH}} {counted}{mark}")
    return lines


def as_page(title: str, charts: Sequence[Bars], words: Sequence[str]) -> str:
    """Return a page of HTML without scripts: bars, thresholds, and what is said of them."""
    said = "".join(f"<p>{escape(line)}</p>" for line in words)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        '<body style="font-family: sans-serif; margin: 2em">'
        f"<h1>{escape(title)}</h1>{''.join(_chart(each) for each in charts)}"
        f"{said}</body></html>\n"
    )


def _chart(chart: Bars) -> str:
    threshold = chart.threshold
    edges, of_good, of_defects = counts_of(chart.good, chart.defects, 40)
    longest = max(1, int((of_good + of_defects).max()))
    span = float(edges[-1] - edges[0]) or 1.0
    bars = []
    for row in range(len(of_good)):
        x = 700 * row / len(of_good)
        top = 220.0
        for count, colour in ((of_good[row], "#3a7"), (of_defects[row], "#c44")):
            height = 200 * float(count) / longest
            top -= height
            bars.append(
                f'<rect x="{x:.1f}" y="{top:.1f}" width="16" height="{height:.1f}" '
                f'fill="{colour}"/>'
            )
    place = 700 * min(max((threshold - float(edges[0])) / span, 0.0), 1.0)
    heading = f"<h2>{escape(chart.name)}</h2>" if chart.name else ""
    return (
        f"{heading}"
        '<svg width="720" height="250" role="img" aria-label="histogram of scores">'
        f"{''.join(bars)}"
        f'<line x1="{place:.1f}" x2="{place:.1f}" y1="0" y2="220" stroke="#000"/>'
        f'<text x="0" y="240">{edges[0]:.3f}</text>'
        f'<text x="700" y="240" text-anchor="end">{edges[-1]:.3f}</text></svg>'
        f"<p>Green: good parts. Red: labelled defects. Line: threshold {threshold:.4f}.</p>"
    )


def _cells(count: int, longest: int) -> int:
    """Cells of a bar; what is there has at least one."""
    return max(1, round(WIDTH * int(count) / longest)) if count else 0
