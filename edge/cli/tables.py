"""Summaries as tables for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from rich.markup import escape
from rich.table import Table

from edge.cli.console import rich_console

if TYPE_CHECKING:
    # Commands import this file before they parse their options: heavy libraries would slow --help.
    from edge.bundle.store import Bundle
    from edge.config.station import StationConfig
    from edge.evaluation.evaluate import Evaluation
    from edge.evaluation.multi_type_segmentation import Segmentation
    from edge.evaluation.type_metrics import Confusion
    from edge.outputs.statistics import Percentiles, Summary

STYLES = {"pass": "green", "fail": "red", "undecided": "yellow", "error": "magenta"}


def print_summary(
    summary: Summary,
    drops: Mapping[tuple[str, str], int],
    config: StationConfig,
    file: TextIO,
) -> None:
    """Print what a station did: verdicts, truth where known, speed, drops, pictures."""
    table = Table(
        title=escape(f"{config.node}/{config.station}"), show_header=False, title_justify="left"
    )
    table.add_column(style="bold")
    table.add_column()
    verdicts = "  ".join(
        f"[{STYLES[name]}]{name} {count}[/]" for name, count in summary.counts.items()
    )
    table.add_row("parts", f"{summary.parts} in {summary.seconds:.1f} s")
    table.add_row("verdicts", verdicts)
    if summary.labelled:
        table.add_row(
            "against labels",
            f"precision {_percent(summary.precision)}, recall {_percent(summary.recall)}, "
            f"false rejects {_percent(summary.false_reject_rate)} ({summary.labelled} labelled)",
        )
    if summary.type_accuracy is not None:
        named = f"{_percent(summary.type_accuracy)} of the rejected defects"
        table.add_row("defect type right", named)
    table.add_row("frames per second", f"{summary.parts_per_second:.1f}")
    table.add_row("frame to verdict", _milliseconds(summary.processing))
    table.add_row("capture to verdict", _milliseconds(summary.total))
    if drops:
        lost = ", ".join(f"{where}/{why} {n}" for (where, why), n in sorted(drops.items()))
        table.add_row("dropped", lost)
    if config.archive is not None:
        table.add_row("pictures", escape(str(config.archive.path)))
    rich_console(file).print(table)


def _percent(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.1%}"


def _milliseconds(times: Percentiles) -> str:
    if times.p50 is None:
        return "-"
    return f"p50 {times.p50:.1f} ms, p95 {times.p95:.1f} ms, p99 {times.p99:.1f} ms"


def print_evaluation(result: Evaluation, bundle: Bundle, name: str) -> None:
    """Print the metrics of a bundle on a data set."""
    console = rich_console()
    table = Table(title=escape(f"{bundle.manifest.name} {bundle.manifest.version} on {name}"))
    for title in ("", "AUROC", "AP", "F1-max", "AUPRO"):
        table.add_column(title, justify="right" if title else "left")
    image, pixel = result.image, result.pixel.ranking
    table.add_row("image", *(_ratio(v) for v in (image.auroc, image.ap, image.f1_max)), "")
    values = (pixel.auroc, pixel.ap, pixel.f1_max, result.aupro)
    table.add_row("pixel", *(_ratio(v) for v in values))
    console.print(table)
    if result.left_out:
        console.print(
            f"left out: {result.left_out} test pictures, which the bundle's types were trained on"
        )
    if result.not_judged:
        console.print(
            f"not judged: {result.not_judged} test pictures; they count as rejected, in no ranking"
        )
    stated = bundle.thresholds.score
    console.print(
        f"at threshold {result.threshold:.4f}: false rejects {_percent(result.false_reject_rate)} "
        f"of {result.good} good (stated {stated.alpha:.1%}, bound {stated.bound95:.1%}), "
        f"recall {_percent(result.recall)} of {result.defective} defective"
    )
    at = ", ".join(f"{_percent(v)} at {rate:.0%}" for rate, v in result.recall_at.items())
    console.print(f"recall by false rejects, thresholds from these good parts: {at}")
    regions = result.regions
    console.print(
        f"regions: {_percent(regions.recall)} of the defects hit; false alarms per good part "
        f"{_ratio(regions.false_alarms_good)}, per defective part "
        f"{_ratio(regions.false_alarms_defective)}"
    )
    if result.per_type:
        console.print(_types(result))
    if result.types:
        console.print(
            f"types: {_percent(result.types.accuracy)} of the detected defects named right, "
            f"{_percent(result.types.unknown_rate)} unknown"
        )
    if result.veto:
        console.print(
            f"false alarms: {_percent(result.veto.negation_error)} called a defect, "
            f"{_percent(result.veto.vetoed)} vetoed; passed by veto: "
            f"{result.veto.passed_good} good and {result.veto.passed_defective} defective parts"
        )
    if result.types:
        console.print(_confusion(result.types.confusion))
    if result.segmentation:
        console.print(_segmentation(result.segmentation))


def _types(result: Evaluation) -> Table:
    """One row per defect type; what its name is worth only where the bundle names types."""
    table = Table(title="per defect type", title_justify="left")
    titles = ["type", "parts", "image AUROC", "recall"]
    titles += ["named right", "AUROC", "AP", "F1"] if result.types else []
    for title in titles:
        table.add_column(title, justify="left" if title == "type" else "right")
    for kind in result.per_type:
        row = result.type_row(kind)
        cells = [escape(kind), f"{row['n']:.0f}", _ratio(row["image_auroc"])]
        cells.append(_percent(row["recall"]))
        if result.types:
            cells.append(_percent(row["accuracy"]))
            cells += [_ratio(row[name]) for name in ("auroc", "ap", "f1")]
        table.add_row(*cells)
    return table


def _confusion(matrix: Confusion) -> Table:
    table = Table(title="defective parts by what they were called", title_justify="left")
    table.add_column("type")
    for name in matrix.predicted:
        table.add_column(escape(name), justify="right")
    for label, counts in zip(matrix.labels, matrix.counts.tolist(), strict=True):
        table.add_row(escape(label), *(str(count) if count else "·" for count in counts))
    return table


def _segmentation(found: Segmentation) -> Table:
    """How well the pixels are named; the line's own call for F1."""
    table = Table(title="pixels by type, each against the rest", title_justify="left")
    for title in ("type", "AUROC", "AP", "F1"):
        table.add_column(title, justify="left" if title == "type" else "right")
    for name, value in found.per_type.items():
        table.add_row(escape(name), *(_ratio(v) for v in (value.auroc, value.ap, value.f1)))
    table.add_row("mean", *(_ratio(v) for v in (found.auroc, found.ap, found.f1)))
    return table


def print_bundle(bundle: Bundle) -> None:
    """Print what was built and on what evidence."""
    threshold, parity = bundle.thresholds.score, bundle.manifest.parity[0]
    types = ""
    if parity.type_difference is not None:
        types = f", types within {parity.type_difference:.1e}"
    rich_console().print(
        f"{escape(str(bundle.folder))}: threshold {threshold.value:.4f} for "
        f"{threshold.alpha:.2%} false rejects from {threshold.n} good pictures of "
        f"{threshold.groups} parts (at most "
        f"{threshold.bound95:.1%} with 95 % confidence); parity with {parity.backend} passed on "
        f"{parity.images} pictures, score within {parity.score_difference:.1e}{types}",
        soft_wrap=True,
        highlight=False,
    )


def _ratio(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"
