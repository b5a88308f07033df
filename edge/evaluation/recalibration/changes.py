"""What a new threshold changes in a bundle: that of all parts or a product, of views, of a type."""

from __future__ import annotations

from pathlib import PurePosixPath

from edge.bundle.documents import GoodScores
from edge.bundle.operating_points import OPERATING_POINTS
from edge.bundle.recalibration import (
    RECALIBRATION,
    TYPE_THRESHOLDS,
    TYPE_THRESHOLDS_SCHEMA,
    Misses,
    Recalibration,
    TypeRecord,
    TypeRecords,
    read_type_records,
)
from edge.bundle.store import SCORES, Bundle
from edge.bundle.thresholds import OwnThreshold, Threshold
from edge.evaluation.recalibration.new_version import NewVersion
from edge.evaluation.recalibration.type_threshold import FittedType
from edge.evaluation.recalibration.view_thresholds import FittedViews


def of_all_parts(
    bundle: Bundle, threshold: Threshold, scores: GoodScores, record: Recalibration, version: str
) -> NewVersion:
    """Change the threshold of all parts, or of the product that the record names.

    Operating points belong to the scores before. Thresholds of types rest on the regions of the
    threshold before: they are dropped.
    """
    thresholds, product = bundle.thresholds, record.product
    if product is None:
        file = thresholds.scores_file
        changes: dict[str, object] = {"score": threshold, "types": {}}
    else:
        own = thresholds.products[product]
        file = own.scores_file
        changed = own.model_copy(update={"score": threshold})
        changes = {"products": {**thresholds.products, product: changed}}
    whose = f" of {product}" if product else ""
    card = (
        "## Threshold set anew\n\n"
        f"Takes the place of what is said of the threshold{whose} above. {record.when} by "
        f"{record.by}: {threshold.value:.4f} instead of {record.threshold_before:.4f}, for "
        f"{threshold.alpha:.2%} false rejects, from {threshold.n} pictures of {threshold.groups} "
        f"good parts of a {record.source}; at most {threshold.bound95:.1%} with 95 % confidence."
        f"{_missed(record.misses, 'labelled defects')}"
    )
    return NewVersion(
        version=version,
        when=record.when,
        thresholds=thresholds.model_copy(update=changes),
        scores={file: scores},
        records={RECALIBRATION: record},
        dropped=_of_types(bundle) | {OPERATING_POINTS},
        card=card,
    )


def of_views(
    bundle: Bundle, fitted: FittedViews, record: Recalibration, version: str
) -> NewVersion:
    """Change the thresholds of all views; that of all parts stays, those of types are dropped."""
    files = {view: _file("view", view) for view in fitted.thresholds}
    views = {
        view: OwnThreshold(score=threshold, scores_file=files[view])
        for view, threshold in fitted.thresholds.items()
    }
    common = fitted.common
    listed = ", ".join(f"{view} {own.score.value:.4f}" for view, own in views.items())
    card = (
        "## Thresholds of views\n\n"
        f"{record.when} by {record.by}: {listed}, for {common.alpha:.2%} false rejects of parts by "
        f"all views together, from {common.groups} good parts of a {record.source}; at most "
        f"{common.bound95:.1%} with 95 % confidence. Any other view is judged by the threshold "
        f"{bundle.thresholds.score.value:.4f} of all parts."
        f"{_missed(record.misses, 'labelled defective parts')}"
    )
    before = {own.scores_file for own in bundle.thresholds.views.values()}
    return NewVersion(
        version=version,
        when=record.when,
        thresholds=bundle.thresholds.model_copy(update={"views": views, "types": {}}),
        scores={files[view]: scores for view, scores in fitted.scores.items()},
        records={RECALIBRATION: record},
        dropped=_of_types(bundle) | before,
        card=card,
    )


def of_type(
    bundle: Bundle, name: str, fitted: FittedType, record: TypeRecord, version: str
) -> NewVersion:
    """Change the threshold of one type; all else stays."""
    file = _file("type", str(bundle.recipe.defect_types.index(name)))
    own = OwnThreshold(score=fitted.threshold, scores_file=file)
    records = {**read_type_records(bundle), name: record}
    card = (
        f"## Threshold of {name}\n\n"
        f"{record.when} by {record.by}: a part that shows nothing but {name} fails from "
        f"{fitted.threshold.value:.4f} on, in place of {bundle.thresholds.score.value:.4f}. Of "
        f"{fitted.own.pictures} labelled pictures of {name} {fitted.own.after} are rejected, "
        f"{fitted.own.before} before, for a share of {record.share:.2%}.{_others(fitted, name)}"
    )
    return NewVersion(
        version=version,
        when=record.when,
        thresholds=bundle.thresholds.model_copy(
            update={"types": {**bundle.thresholds.types, name: own}}
        ),
        scores={file: fitted.scores},
        records={TYPE_THRESHOLDS: TypeRecords(schema=TYPE_THRESHOLDS_SCHEMA, types=records)},
        dropped=frozenset(),
        card=card,
    )


def _file(kind: str, name: str) -> str:
    return str(PurePosixPath(SCORES).with_name(f"scores.{kind}.{name}.json"))


def _of_types(bundle: Bundle) -> frozenset[str]:
    files = {own.scores_file for own in bundle.thresholds.types.values()}
    return frozenset({*files, TYPE_THRESHOLDS})


def _missed(found: Misses | None, what: str) -> str:
    if found is None:
        return ""
    return (
        f" Of {found.defects} {what} {found.missed} pass (95 % interval {found.low:.1%} to "
        f"{found.high:.1%})."
    )


def _others(fitted: FittedType, name: str) -> str:
    found = fitted.others
    if found is None:
        return ""
    return (
        f" Of {found.defects} labelled defects of other names {found.passed} pass by it, for they "
        f"are taken for {name} (95 % interval {found.low:.1%} to {found.high:.1%})."
    )
