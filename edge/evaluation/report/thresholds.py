"""Recall against false rejects: a slider over all thresholds, and some to choose from."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.evaluation.evaluate import Evaluation
from edge.evaluation.operating_points import RATES, OperatingPoint, Scored, suggested
from edge.evaluation.report.charts import BOTTOM, LEFT, RIGHT, TOP, curve
from edge.evaluation.report.page import Markup, cell, fill, paragraph, table
from edge.evaluation.report.tables import percent, ratio

HONEST = (
    "Thresholds chosen on the pictures that they are judged by look better than they are. Take "
    "them as a hint, and measure the one that you choose on other pictures."
)

SLIDER = """<div class="slider" data-scores="{data}" hidden>
<label for="threshold">Threshold</label>
<input id="threshold" type="range" min="0" max="0" value="0">
<output for="threshold" data-say="threshold"></output>
<button type="button" data-threshold="{shipped}">shipped threshold</button>
<dl class="figures">
<div><dt>good parts rejected</dt><dd data-say="rate"></dd><dd data-say="rejected"></dd></div>
<div><dt>defective parts found</dt><dd data-say="recall"></dd><dd data-say="found"></dd></div>
<div><dt>defective parts missed</dt><dd data-say="missed"></dd><dd data-say="missing"></dd></div>
</dl>
</div>"""

# The page's policy names the hash of this text: nothing else runs.
SCRIPT = """"use strict";
(() => {
  const box = document.querySelector("[data-scores]");
  const { good, types, shipped, axes } = JSON.parse(box.dataset.scores);
  const say = (name, text) => { box.querySelector(`[data-say=${name}]`).textContent = text; };
  const slider = box.querySelector("input");
  const all = [good, ...types].flatMap((kind) => kind.scores);
  const steps = [...new Set([...all, shipped])].sort((a, b) => a - b);
  // Below all scores nothing passes.
  steps.unshift(steps[0] - Math.abs(steps[0]) * 1e-6 - 1e-9);
  const rejected = (kind, at) => kind.held + kind.scores.filter((score) => score > at).length;
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const percent = (n, of) => of ? `${(100 * n / of).toFixed(1)}%` : "\\u2013";
  const total = (kind) => kind.scores.length + kind.held;
  const bad = sum(types.map(total));
  const svg = document.querySelector("[data-trade] svg");
  let dot = null;
  if (svg && total(good) && bad) {
    dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    for (const [name, value] of Object.entries({ r: 7, fill: "none", stroke: "#1b1f24" }))
      dot.setAttribute(name, value);
    dot.setAttribute("stroke-width", 2.5);
    svg.append(dot);
  }
  const show = () => {
    const at = steps[slider.value];
    const out = rejected(good, at);
    const each = types.map((kind) => rejected(kind, at));
    const found = sum(each);
    say("threshold", at.toPrecision(6));
    say("rate", percent(out, total(good)));
    say("rejected", `${out} of ${total(good)}`);
    say("recall", percent(found, bad));
    say("found", `${found} of ${bad}`);
    say("missed", bad - found);
    say("missing", types.map((kind, i) => [kind.name, total(kind) - each[i]])
      .filter(([, n]) => n).map(([name, n]) => `${name} ${n}`).join(", ") || "none");
    slider.setAttribute("aria-valuetext", `${at.toPrecision(6)}: rejects ${out} of `
      + `${total(good)} good parts, finds ${found} of ${bad} defective ones`);
    if (dot) {
      dot.setAttribute("cx", axes.left + out / total(good) * (axes.right - axes.left));
      dot.setAttribute("cy", axes.bottom - found / bad * (axes.bottom - axes.top));
    }
  };
  const go = (at) => { slider.value = steps.indexOf(at); show(); };
  slider.max = steps.length - 1;
  slider.addEventListener("input", show);
  for (const button of document.querySelectorAll("[data-threshold]")) {
    button.hidden = false;
    button.addEventListener("click", () => go(Number(button.dataset.threshold)));
  }
  box.hidden = false;
  go(shipped);
})();
"""


def threshold_section(result: Evaluation) -> list[Markup]:
    """Make the curve with the slider under it, and the table of suggested thresholds."""
    good, kinds = by_kind(result)
    bad = Scored.of([item for item in result.parts if not item.sample.is_good])
    notes = _notes(result, good, bad)
    return [
        _curve(result, good, bad),
        fill(SLIDER, data=_data(result.threshold, good, kinds), shipped=_exact(result.threshold)),
        *(paragraph(note, is_quiet=True) for note in notes),
        _table(suggested(good, bad)),
        paragraph(HONEST, is_quiet=True),
    ]


def by_kind(result: Evaluation) -> tuple[Scored, dict[str, Scored]]:
    """Scores of the good parts, and of the defective ones by type."""
    good = Scored.of([item for item in result.parts if item.sample.is_good])
    return good, {
        kind: Scored.of([item for item in result.parts if item.sample.label == kind])
        for kind in result.per_type
    }


def _data(shipped: float, good: Scored, kinds: dict[str, Scored]) -> str:
    def listed(kind: Scored) -> dict[str, object]:
        return {"scores": kind.scores.tolist(), "held": kind.held}

    return json.dumps(
        {
            "good": listed(good),
            "types": [{"name": name, **listed(kind)} for name, kind in kinds.items()],
            "shipped": shipped,
            "axes": {"left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM},
        },
        allow_nan=False,
    )


def _curve(result: Evaluation, good: Scored, bad: Scored) -> Markup:
    drawn = curve(
        trade(good, bad),
        labels=("good parts rejected", "defective parts found"),
        caption=f"Recall against false rejects, at every threshold. Area under the ROC curve "
        f"{ratio(result.image.auroc)}; dashed: guessing.",
        mark_xy=(result.false_reject_rate, result.recall),
        is_chance_diagonal=True,
    )
    return fill('<div class="charts" data-trade="">\n{drawn}\n</div>', drawn=drawn)


def trade(good: Scored, bad: Scored) -> NDArray[np.float64]:
    """Share of good parts rejected and of defective ones found, (2, n), highest threshold first."""
    if not good.total or not bad.total:
        return np.full((2, 0), np.nan)
    steps = np.unique(np.concatenate([good.scores, bad.scores]))[::-1]
    rejected = [*(good.rejected(at) / good.total for at in steps), 1.0]
    found = [*(bad.rejected(at) / bad.total for at in steps), 1.0]
    return np.array([rejected, found], np.float64)


def _table(points: Sequence[OperatingPoint]) -> Markup:
    head = ["good parts rejected, at most", "threshold", "good rejected", "defective found", "show"]
    button = '<button type="button" data-threshold="{at}" hidden aria-label="{text}">show</button>'
    rows = []
    for point in points:
        text = f"show the threshold for {point.rate:.1%}"
        rows.append(
            [
                f"{point.rate:.1%}",
                f"{point.threshold:.6g}",
                f"{point.rejected} of {point.good}",
                f"{point.found} of {point.defective} ({percent(point.recall)})",
                cell(fill(button, at=_exact(point.threshold), text=text)),
            ]
        )
    return table("Suggested thresholds", head, rows)


def _notes(result: Evaluation, good: Scored, bad: Scored) -> list[str]:
    notes = []
    if held := good.held + bad.held:
        notes.append(
            f"{held} parts do not pass whatever the threshold: not judged, or undecided for the "
            "look of their frame."
        )
    vetoed = sum(i.is_judged and i.score > result.threshold and not i.is_rejected
                 for i in result.parts)  # fmt: skip
    if vetoed:
        notes.append(
            f"The slider goes by scores alone: {vetoed} parts above the shipped threshold pass "
            "by veto or by the threshold of a type, here they count as rejected."
        )
    if good.total and min(RATES) * good.total < 1:
        notes.append(
            f"With {good.total} good parts, rates below {1 / good.total:.1%} mean that none of "
            "them is rejected."
        )
    return notes


def _exact(value: float) -> str:
    """As JSON has it, so that it is found among the scores."""
    return json.dumps(value)
