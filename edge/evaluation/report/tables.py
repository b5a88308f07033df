"""The tables of a report, and how its numbers are written."""

from __future__ import annotations

import math

import numpy as np

from edge.bundle.store import Bundle
from edge.evaluation.comparison import Comparison, Difference
from edge.evaluation.evaluate import Evaluation
from edge.evaluation.pixel_metrics import EVALUATION_SIDE
from edge.evaluation.region_metrics import LEAST_IOU
from edge.evaluation.report.page import Markup, cell, fill, join, table
from edge.evaluation.type_metrics import Confusion

RULES = f"""
Image and pixel metrics are exact: every distinct score is a threshold, ties count half. Maps and
masks meet at the picture's aspect ratio, longer side at most {EVALUATION_SIDE} pixels, masks cut at
one half, nothing cropped. AUPRO is up to a false-positive rate of 0.3 over all good pixels, those
of good parts included.

F1-max takes the best threshold in hindsight: a ceiling, not an operating point. All other figures
at a threshold are at the shipped one; every part that does not pass counts as rejected.

A part is called by its named region with the highest confidence times area, unknown without one.
Accuracy and the share of unknown ones are over detected defective parts.

A type's AUROC and AP rank all parts, good ones included, by their most confident region of the
type; its F1 takes the names as given.

A region hits a defect when their IoU is at least {LEAST_IOU:g} or its centre lies inside the
defect; other regions are false alarms. Parts that pass have no regions.

Intervals in brackets are Wilson's, 95 %, and take pictures as independent.
"""


def types_table(result: Evaluation) -> Markup:
    """One row per defect type; what its name is worth only where the bundle names types."""
    head = ["type", "parts", "found", "AUROC against good"]
    head += ["named right", "AUROC", "AP", "F1"] if result.types else []
    rows = []
    for kind in result.per_type:
        row = result.type_row(kind)
        cells = [kind, f"{row['n']:.0f}", percent(row["recall"]), ratio(row["image_auroc"])]
        if result.types:
            cells.append(percent(row["accuracy"]))
            cells += [ratio(row[name]) for name in ("auroc", "ap", "f1")]
        rows.append(cells)
    return table("Per defect type", head, rows)


def confusion_table(matrix: Confusion) -> Markup:
    """Counts, tinted by their share of the row; right names are framed."""
    totals = np.maximum(matrix.counts.sum(1, keepdims=True), 1)
    rows: list[list[object]] = []
    for label, counts, shares in zip(matrix.labels, matrix.counts, matrix.counts / totals):
        cells: list[object] = [label]
        for name, count, share in zip(matrix.predicted, counts, shares):
            # At most 0.7: dark figures stay readable on it.
            tint = f"background: rgb(0 114 178 / {0.7 * share:.2f})" if count else ""
            cells.append(cell(count or "·", "right" if name == label else "", tint))
        rows.append(cells)
    return table("Type (row) by name given (column)", ["type", *matrix.predicted], rows)


def times_table(result: Evaluation) -> Markup:
    """Stage by stage, in milliseconds."""
    times = [item.inspection.times for item in result.parts]
    stages = {
        "scaling": [t.preprocess_ms for t in times],
        "network": [t.infer_ms for t in times],
        "verdict and regions": [t.postprocess_ms for t in times],
        "all": [t.processing_ms for t in times],
    }
    rows = [
        [stage, *(f"{value:.1f}" for value in np.percentile(values, [50, 95, 99]))]
        for stage, values in stages.items()
    ]
    caption = "Milliseconds on the machine that evaluated, reading of files not counted"
    return table(caption, ["stage", "p50", "p95", "p99"], rows)


def identity_table(bundle: Bundle) -> Markup:
    """What was measured, and what its threshold rests on."""
    manifest, recipe, stated = bundle.manifest, bundle.recipe, bundle.thresholds.score
    (width, height), (columns, lines) = recipe.size_wh, recipe.tiles_wh
    facts = {
        "bundle": f"{manifest.name} {manifest.version}",
        "product": bundle.product or recipe.product,
        "id (SHA-256)": bundle.id,
        "made": f"{manifest.created_at} by {manifest.created_by}",
        "method": manifest.method,
        "licence": manifest.licence,
        "network input": f"{width} x {height}, tiles {columns} x {lines}",
        "graph": f"{bundle.graph.file}, {bundle.graph.precision}",
        "types graph": _types_graph(bundle),
        "defect types": ", ".join(recipe.defect_types) or "none",
        "threshold": f"{stated.value:.6g}, {stated.method}, rank {stated.rank} of {stated.n}",
        "evidence": f"{stated.n} good pictures of {stated.groups} independent parts",
        "false-reject rate": (
            f"{stated.alpha:.2%} intended, at most {stated.bound95:.1%} with 95 % confidence"
        ),
    }
    for parity in manifest.parity:
        facts[f"parity, {parity.backend}"] = (
            f"{'passed' if parity.passed else 'FAILED'} against {parity.reference} on "
            f"{parity.images} pictures, score within {parity.score_difference:.1e}, "
            f"{parity.verdict_flips} verdicts flipped"
        )
    rows = [[name, cell(value, "text")] for name, value in facts.items()]
    return table("What was measured, and what its threshold rests on", ["", "value"], rows)


def _types_graph(bundle: Bundle) -> str:
    graph, size_wh = bundle.types_graph, bundle.recipe.types_size_wh
    if graph is None or size_wh is None:
        return "none"
    return f"{graph.file}, {graph.precision}, {size_wh[0]} x {size_wh[1]}"


def rules_list() -> Markup:
    """How the figures were made."""
    items = join(fill("<li>{rule}</li>", rule=rule) for rule in RULES.strip().split("\n\n"))
    return fill("<ul>\n{items}\n</ul>", items=items)


def counted(share: float, n: int) -> str:
    """`12 of 30 (24.6% to 57.7%)`, the interval after Wilson."""
    if math.isnan(share):
        return "none in this set"
    z = 1.96
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = (max(0.0, (middle + sign * half) / (1 + z * z / n)) for sign in (-1, 1))
    return f"{round(share * n)} of {n} ({low:.1%} to {high:.1%})"


def ratio(value: float, digits: int = 4) -> str:
    """Write a number, a dash for what does not exist."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def percent(value: float) -> str:
    """Write a share, a dash for what does not exist."""
    return "–" if math.isnan(value) else f"{value:.1%}"


def figure_rows(comparison: Comparison) -> list[list[str]]:
    """Name, A, B and A less B of every figure that both bundles have."""
    rows = []
    for name, first, second in comparison.rows():
        if first is not None and second is not None:
            digits = 1 if name.endswith("ms") else 4
            values = (ratio(first, digits), ratio(second, digits))
            rows.append([name, *values, f"{first - second:+.{digits}f}"])
    return rows


def difference_said(difference: Difference | None) -> str:
    """Say whether the pictures are enough to tell the two apart."""
    if difference is None:
        return "Without good and defective parts the two cannot be told apart."
    value, low, high = difference
    told = "may be chance" if low <= 0 <= high else "is more than chance explains"
    return (
        f"Image AUROC of A less B: {value:+.4f}, 95 % interval {low:+.4f} to {high:+.4f} "
        f"(DeLong, pictures taken as independent): the difference {told}."
    )
