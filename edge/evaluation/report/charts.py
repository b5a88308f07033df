"""Curves as inline SVG, to be looked at and printed; pixels of a 360 x 290 view."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.evaluation.report.page import Markup, fill, join

Values = NDArray[np.float64]
LEFT, TOP, RIGHT, BOTTOM = 46.0, 12.0, 348.0, 244.0
BINS = 40
# More points than this cannot be told apart.
POINTS = 300

CHART = """<figure>
<svg viewBox="0 0 360 290" role="img" aria-label="{alt}">
<title>{alt}</title>
{frame}
{body}
<text x="197" y="284" text-anchor="middle">{x_label}</text>
<text transform="translate(12 128) rotate(-90)" text-anchor="middle">{y_label}</text>
</svg>
<figcaption>{caption}</figcaption>
</figure>"""


class _Axes:
    """Data -> view; ranges are (low, high)."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]):
        self.x, self.y = x, y

    def at(self, x: float, y: float) -> tuple[float, float]:
        (x0, x1), (y0, y1) = self.x, self.y
        across, up = (x - x0) / (x1 - x0), (y - y0) / (y1 - y0)
        return LEFT + across * (RIGHT - LEFT), BOTTOM - up * (BOTTOM - TOP)

    def frame(self) -> Markup:
        """Grid lines and numbers."""
        parts = []
        for value in ticks(*self.x):
            x, _ = self.at(value, self.y[0])
            parts.append(_line((x, TOP), (x, BOTTOM), "#d0d7de"))
            parts.append(_text(x, BOTTOM + 16, f"{value:g}", "middle"))
        for value in ticks(*self.y):
            _, y = self.at(self.x[0], value)
            parts.append(_line((LEFT, y), (RIGHT, y), "#d0d7de"))
            parts.append(_text(LEFT - 6, y + 4, f"{abs(value):g}", "end"))
        return join(parts)


def curve(
    points_xy: Values,
    *,
    labels: tuple[str, str],
    caption: str,
    mark_xy: tuple[float, float] | None = None,
    x_limit: float = 1.0,
    is_chance_diagonal: bool = False,
) -> Markup:
    """Draw a curve in the unit square; nothing when it has no finite point.

    Args:
        points_xy: (2, n) in drawing order.
        labels: of the x and the y axis.
        caption: what the curve says; also the text for those who do not see it.
        mark_xy: the operating point.
        x_limit: right end of the x axis.
        is_chance_diagonal: draw what guessing would give.
    """
    points = points_xy[:, np.isfinite(points_xy).all(0)]
    if points.size == 0:
        return Markup("")
    kept = np.unique(np.linspace(0, points.shape[1] - 1, POINTS).round().astype(int))
    axes = _Axes((0.0, x_limit), (0.0, 1.0))
    body = []
    if is_chance_diagonal:
        body.append(_line(axes.at(0, 0), axes.at(x_limit, x_limit), "#57606a", dash="4 4"))
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (axes.at(*p) for p in points[:, kept].T))
    body.append(
        fill('<polyline points="{path}" fill="none" stroke="#0072b2" stroke-width="2"/>', path=path)
    )
    if mark_xy is not None and all(map(math.isfinite, mark_xy)):
        x, y = axes.at(*mark_xy)
        body.append(
            fill(
                '<circle cx="{x}" cy="{y}" r="5" fill="#d55e00" stroke="#fff" stroke-width="1.5"/>',
                x=f"{x:.1f}",
                y=f"{y:.1f}",
            )
        )
        anchor, shift = ("end", -9) if x > (LEFT + RIGHT) / 2 else ("start", 9)
        # Below the point: above it there may be no room.
        body.append(_text(x + shift, min(y + 16, BOTTOM - 4), "shipped threshold", anchor))
    return _chart(axes, body, labels, caption)


def histogram(good: Values, bad: Values, threshold: float, caption: str) -> Markup:
    """Draw scores of good parts upwards and of defective ones downwards, with the threshold.

    Bars are shares of their own class. The axis ends at the highest score or, for long tails, at
    six times as far as threshold and medians; what lies beyond is counted in the last bar.
    """
    both = np.concatenate([good, bad, [threshold]])
    low = float(both.min())
    middle = max([threshold, *(float(np.median(v)) for v in (good, bad) if len(v))])
    high = min(float(both.max()), low + 6 * (middle - low))
    edges = np.linspace(low, high + 1e-9 * max(abs(high), 1.0), BINS + 1)
    up, down = (np.histogram(np.minimum(v, high), edges)[0] / max(len(v), 1) for v in (good, bad))
    top = 1.1 * max(float(up.max()), float(down.max())) or 1.0
    axes = _Axes((low, high if high > low else low + 1), (-top, top))
    body = []
    for values, colour, sign in ((up, "#0072b2", 1), (down, "#d55e00", -1)):
        for share, left, right in zip(values, edges[:-1], edges[1:]):
            if share:
                body.append(_bar(axes.at(left, sign * share), axes.at(right, 0), colour))
    x, _ = axes.at(threshold, 0)
    body += [
        _line(axes.at(low, 0), axes.at(high, 0), "#1b1f24"),
        _line((x, TOP), (x, BOTTOM), "#1b1f24", dash="6 3"),
        _text(RIGHT - 6, TOP + 14, "good", "end"),
        _text(RIGHT - 6, BOTTOM - 6, "defective", "end"),
        _text(x + 5, TOP + 14, "threshold", "start"),
    ]
    return _chart(axes, body, ("score", "share of its parts"), caption)


def ticks(low: float, high: float) -> Sequence[float]:
    """Round numbers, about five, that lie inside a range."""
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if (high - low) / (factor * step) <= 6)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    # Rounded, so that 0.30000000000000004 is written as 0.3; adding 0 turns -0 into 0.
    return [round((first + i) * step, 10) + 0.0 for i in range(count)]


def _chart(axes: _Axes, body: Sequence[Markup], labels: tuple[str, str], caption: str) -> Markup:
    return fill(
        CHART,
        alt=f"{labels[1]} over {labels[0]}. {caption}",
        frame=axes.frame(),
        body=join(body),
        x_label=labels[0],
        y_label=labels[1],
        caption=caption,
    )


def _line(
    start: tuple[float, float], end: tuple[float, float], colour: str, dash: str = "none"
) -> Markup:
    return Markup(
        f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" '
        f'stroke="{colour}" stroke-dasharray="{dash}"/>'
    )


def _bar(corner: tuple[float, float], other: tuple[float, float], colour: str) -> Markup:
    x, y = min(corner[0], other[0]), min(corner[1], other[1])
    return Markup(
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{abs(other[0] - corner[0]):.1f}" '
        f'height="{abs(other[1] - corner[1]):.1f}" fill="{colour}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return fill(
        '<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>',
        x=f"{x:.1f}",
        y=f"{y:.1f}",
        anchor=anchor,
        text=text,
    )
