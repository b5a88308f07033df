"""edge-calibrate threshold --views: a threshold for each view, by a rate for whole parts."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from edge.cli.calibration_parts import (
    Options,
    judged_parts,
    read_rate,
    report,
    say_dropped,
    tested_groups,
    words_on_groups,
    words_on_misses,
)
from edge.cli.console import say
from edge.errors import ConfigError

if TYPE_CHECKING:
    from edge.bundle.store import Bundle
    from edge.evaluation.recalibration.histogram import Bars
    from edge.evaluation.recalibration.judged import Judged
    from edge.evaluation.recalibration.new_version import NewVersion
    from edge.evaluation.recalibration.view_thresholds import FittedViews


def recalibrate_views(options: Options) -> None:
    """Judge good parts in all their views, fit the views' thresholds, and write the new version.

    Raises:
        EdgeError: an option is wrong, a source or the bundle unreadable, or the parts support no
            such thresholds.
    """
    from edge.bundle.store import open_bundle
    from edge.config.station import DecisionSettings, EngineSettings
    from edge.engines.load import load_engine, load_types_engine
    from edge.evaluation.recalibration.new_version import check_new, write_version
    from edge.evaluation.recalibration.view_thresholds import fit_views
    from edge.inspection.inspector import Inspector

    rate = read_rate(options.rate or "")
    _ = options.source
    check_new(options.out)
    bundle = open_bundle(options.bundle)
    if bundle.thresholds.products or options.product:
        raise ConfigError("--views: expected a bundle of one product; train one for each product")
    settings = EngineSettings(threads=options.threads)
    with load_engine(bundle, settings) as engine, load_types_engine(bundle, settings) as types:
        # Scores do not depend on thresholds: one inspector judges all views.
        inspector = Inspector(bundle, engine, DecisionSettings(max_engine_failures=1), types)
        judged = judged_parts(options, lambda _: inspector)
        _say_parts(judged, rate)
        fitted = fit_views(judged.good, judged.defects, rate, options.leave_out)
        new = _new_version(options, bundle, judged, fitted)
        made = write_version(bundle, new, inspector, options.out)
    say_dropped(bundle)
    report(options, made, "thresholds of views", _bars(judged, fitted), _words(bundle, fitted))


def _say_parts(judged: Judged, rate: float) -> None:
    from edge.bundle.joint_conformal import parts_for_views

    views = sorted({str(each.camera) for each in judged.good})
    parts = len({each.part for each in judged.good})
    say(
        f"{rate:.2%} false rejects of parts in {len(views)} views ({', '.join(views)}) need "
        f"{parts_for_views(len(views), rate)} good parts at least; there are {parts} "
        f"({len(judged.good)} pictures)"
    )
    if judged.not_judged:
        say(f"{judged.not_judged} pictures would be undecided by their quality and set nothing")


def _new_version(
    options: Options, bundle: Bundle, judged: Judged, fitted: FittedViews
) -> NewVersion:
    from edge.bundle.recalibration import RECALIBRATION_SCHEMA, Recalibration
    from edge.cli.who import who
    from edge.evaluation.recalibration.changes import of_views
    from edge.evaluation.recalibration.exchangeability import LEVEL
    from edge.evaluation.recalibration.new_version import next_version

    record = Recalibration(
        schema=RECALIBRATION_SCHEMA,
        by=options.by or who(),
        when=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        source=options.source,
        data_sha256=judged.data_sha256,
        rate=fitted.common.alpha,
        pictures=fitted.common.n * len(fitted.thresholds),
        parts=fitted.common.groups,
        not_judged=judged.not_judged,
        views=tuple(fitted.thresholds),
        incomplete=fitted.incomplete,
        before=bundle.id,
        threshold_before=bundle.thresholds.score.value,
        level=LEVEL,
        tested=tested_groups(fitted.tested),
        misses=fitted.misses,
        suggested_undecided_p=fitted.undecided_p,
    )
    return of_views(
        bundle, fitted, record, options.version or next_version(bundle.manifest.version)
    )


def _bars(judged: Judged, fitted: FittedViews) -> list[Bars]:
    from edge.evaluation.recalibration.histogram import Bars

    return [
        Bars(
            f"view {view}",
            fitted.scores[view].scores,
            [each.score for each in judged.defects if each.camera == view],
            threshold.value,
        )
        for view, threshold in fitted.thresholds.items()
    ]


def _words(bundle: Bundle, fitted: FittedViews) -> list[str]:
    common, before = fitted.common, bundle.thresholds
    lines = [
        f"view {view}: threshold {own.value:.4f} instead of "
        f"{(before.views[view].score if view in before.views else before.score).value:.4f}"
        for view, own in fitted.thresholds.items()
    ]
    lines.append(
        f"for {common.alpha:.2%} false rejects of parts by all views together, from "
        f"{common.groups} good parts; at most {common.bound95:.1%} with 95 % confidence"
    )
    if fitted.incomplete:
        lines.append(f"{fitted.incomplete} good parts were not judged in every view: set nothing")
    lines += words_on_groups(fitted.tested, ("day",))
    held = ""
    if fitted.misses is not None:
        lines.append(words_on_misses(fitted.misses, "labelled defective parts"))
        held = f" and {fitted.misses.in_band} of the {fitted.misses.missed} defects that pass"
    lines.append(
        f"suggested for the station: decision: {{undecided_p: {fitted.undecided_p:.3g}}}; holds "
        f"back about {fitted.held_back:.2%} more of the good parts{held}"
    )
    return lines
