"""The report: what stands on the page, in reading order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.bundle.store import Bundle
from edge.data.image_set import Sample
from edge.errors import ConfigError
from edge.evaluation.evaluate import Evaluation
from edge.evaluation.metrics import curves
from edge.evaluation.report.charts import curve, histogram
from edge.evaluation.report.galleries import draw_galleries
from edge.evaluation.report.page import Markup, fill, join, page, paragraph, section
from edge.evaluation.report.strips import draw_strips
from edge.evaluation.report.tables import (
    confusion_table,
    counted,
    identity_table,
    percent,
    ratio,
    rules_list,
    times_table,
    types_table,
)
from edge.evaluation.report.thresholds import SCRIPT, threshold_section
from edge.inspection.inspector import Inspected


def check_writable(file: Path) -> None:
    """Refuse a report path before any picture is inspected.

    Raises:
        ConfigError: the path is a folder, or its folder is missing.
    """
    if file.is_dir():
        raise ConfigError(f"--report {file}: expected a file such as report.html, found a folder")
    if not file.parent.is_dir():
        raise ConfigError(f"--report {file}: no folder {file.parent}; make it or give another path")


def write_report(
    file: Path,
    result: Evaluation,
    bundle: Bundle,
    name: str,
    inspect: Callable[[Sample], Inspected],
    advance: Callable[[int], None],
) -> None:
    """Write the report of `result` on the data set `name`, one file that needs no other.

    The pictures shown are inspected once more, since maps are not kept; `advance(1)` is called
    after each (edge.evaluation.report.galleries.shown says how many they are).

    Raises:
        ConfigError: the file cannot be written.
        DataError: a picture has become unreadable.
        EngineError: the engine fails.
    """
    title = f"{bundle.manifest.name} {bundle.manifest.version} on {name}"
    intro = (
        f"{result.good} good and {result.defective} defective parts, {result.masks} of them with "
        "a mask, inspected by the code of the line at the shipped threshold."
    )
    if result.left_out:
        left_out = f"{result.left_out} test pictures are left out"
        intro += f" {left_out}: the bundle's types were trained on them."
    if result.not_judged:
        intro += (
            f" {result.not_judged} of them could not be judged, as on the line: they count as "
            "parts that do not pass, and in no curve."
        )
    body = [
        fill("<h1>{title}</h1>", title=title),
        paragraph(intro, is_quiet=True),
        _headline(result, bundle),
        section("Recall against false rejects", *threshold_section(result)),
        section("Curves", _curves(result)),
        *([section("Defect types", *_types(result, bundle))] if result.per_type else []),
        section("Pictures worth a look", *draw_galleries(result, inspect, advance)),
        section("Part by part", *draw_strips(result)),
        section("Time per frame", times_table(result)),
        section("Bundle and threshold", identity_table(bundle)),
        section("How it was measured", rules_list()),
    ]
    write_page(file, page(title, body, SCRIPT))


def write_page(file: Path, text: Markup) -> None:
    """Write a page.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"--report {file}: cannot be written: {error.strerror}; give another path"
        ) from error


def _headline(result: Evaluation, bundle: Bundle) -> Markup:
    image, pixel, regions = result.image, result.pixel.ranking, result.regions
    stated = bundle.thresholds.score
    p50, p95 = np.percentile(result.milliseconds, [50, 95])
    boxes = [
        _box(
            "image AUROC",
            ratio(image.auroc),
            f"AP {ratio(image.ap)}, F1-max {ratio(image.f1_max)}",
        ),
        _box(
            "defective parts found",
            percent(result.recall),
            counted(result.recall, result.defective),
        ),
        _box(
            "good parts rejected",
            percent(result.false_reject_rate),
            f"{counted(result.false_reject_rate, result.good)}; the bundle states "
            f"{stated.alpha:.1%}, at most {stated.bound95:.1%}",
        ),
    ]
    if types := result.types:
        boxes.append(
            _box(
                "detected defects named right",
                percent(types.accuracy),
                f"{counted(types.accuracy, types.confusion.detected)}; "
                f"{percent(types.unknown_rate)} unknown",
            )
        )
    boxes += [
        _box(
            "AUPRO",
            ratio(result.aupro),
            f"pixel AUROC {ratio(pixel.auroc)}, AP {ratio(pixel.ap)}, F1-max {ratio(pixel.f1_max)}",
        ),
        _box("defects located", percent(regions.recall), "of the regions in the masks"),
        _box(
            "false alarms per good part",
            ratio(regions.false_alarms_good, 3),
            f"{ratio(regions.false_alarms_defective, 3)} per defective part, beside its defects",
        ),
        _box("frame to verdict", f"{p50:.1f} ms", f"median; 95 % within {p95:.1f} ms"),
    ]
    return fill('<dl class="figures">\n{boxes}\n</dl>', boxes=join(boxes))


def _box(name: str, value: str, more: str) -> Markup:
    box = "<div><dt>{name}</dt><dd>{value}</dd><dd>{more}</dd></div>"
    return fill(box, name=name, value=value, more=more)


def _curves(result: Evaluation) -> Markup:
    labels = np.array([not item.sample.is_good for item in result.judged])
    scores = np.array([item.score for item in result.judged])
    _, recall, precision = curves(labels, scores)
    above = scores > result.threshold
    found = _share(above & labels, labels)
    drawn = [
        histogram(
            scores[~labels],
            scores[labels],
            result.threshold,
            f"Scores of {result.good} good parts (upwards) and {result.defective} defective ones "
            f"(downwards); the threshold is {result.threshold:.4g}.",
        ),
        curve(
            np.stack([recall, precision]),
            labels=("defective parts found (recall)", "precision"),
            caption=f"Precision and recall, average precision {ratio(result.image.ap)}.",
            mark_xy=(found, _share(above & labels, above)),
        ),
        curve(
            result.pixel.overlap_xy,
            labels=("false-positive rate of pixels", "mean overlap per defect"),
            caption=f"Per-region overlap, normalised area (AUPRO) {ratio(result.aupro)}.",
            x_limit=0.3,
        ),
    ]
    return fill('<div class="charts">\n{drawn}\n</div>', drawn=join(drawn))


def _types(result: Evaluation, bundle: Bundle) -> list[Markup]:
    if result.types is None:
        return [
            types_table(result),
            paragraph("This bundle names no defect types.", is_quiet=True),
        ]
    parts = [
        types_table(result),
        paragraph(
            "AUROC, AP and F1 at the right are of the name, one type against all other parts.",
            is_quiet=True,
        ),
        confusion_table(result.types.confusion),
        paragraph("Defective parts, tinted by their share of the row; right names are framed.",
                  is_quiet=True),
    ]  # fmt: skip
    unknown_types = [kind for kind in result.per_type if kind not in bundle.recipe.defect_types]
    if unknown_types:
        text = (
            f"The bundle has no such type: {', '.join(unknown_types)}. Such parts are never right."
        )
        parts.append(paragraph(text))
    return parts


def _share(chosen: NDArray[np.bool_], of: NDArray[np.bool_]) -> float:
    total = int(of.sum())
    return int(chosen.sum()) / total if total else float("nan")
