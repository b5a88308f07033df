"""edge-calibrate threshold: set the threshold of a bundle anew, with the evidence for it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from edge.cli.calibration_parts import (
    Options,
    judged_before_camera,
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
    from edge.evaluation.recalibration.judged import Judged
    from edge.evaluation.recalibration.new_version import NewVersion
    from edge.evaluation.recalibration.threshold import Fitted


def recalibrate(options: Options) -> None:
    """Judge fresh good parts, fit the threshold, say what it is worth, and write the new version.

    Raises:
        EdgeError: an option is wrong, a source or the bundle unreadable, or the parts support no
            such threshold.
    """
    from edge.bundle.store import open_bundle
    from edge.config.station import DecisionSettings, EngineSettings
    from edge.engines.load import load_engine, load_types_engine
    from edge.evaluation.recalibration.new_version import check_new, write_version
    from edge.evaluation.recalibration.threshold import fit, parts_needed
    from edge.inspection.inspector import Inspector

    rate, source = read_rate(options.rate or ""), options.source
    check_new(options.out)
    whole = open_bundle(options.bundle)
    if whole.thresholds.views:
        raise ConfigError(
            f"--views: {options.bundle} has thresholds of the views "
            f"{', '.join(whole.thresholds.views)}; set those anew"
        )
    bundle = _for_product(whole, options.product)
    settings = EngineSettings(threads=options.threads)
    with load_engine(bundle, settings) as engine, load_types_engine(bundle, settings) as types:
        inspector = Inspector(bundle, engine, DecisionSettings(max_engine_failures=1), types)
        if source == "camera":
            judged = judged_before_camera(options, parts_needed(rate), inspector)
        else:
            judged = judged_parts(options, lambda _: inspector)
        _say_parts(judged, rate)
        fitted = fit(judged.good, judged.defects, rate, options.leave_out)
        new = _new_version(options, whole, bundle, judged, fitted)
        made = write_version(whole, new, inspector, options.out)
    say_dropped(whole)
    _report(options, judged, fitted, made, bundle.thresholds.score.value)


def _for_product(whole: Bundle, product: str | None) -> Bundle:
    if product is not None:
        return whole.for_product(product)
    if whole.thresholds.products:
        served = ", ".join(whole.thresholds.products)
        raise ConfigError(f"--product: expected one of {served}; each has a threshold of its own")
    return whole


def _say_parts(judged: Judged, rate: float) -> None:
    from edge.evaluation.recalibration.threshold import parts_needed

    parts = len({each.part for each in judged.good})
    needed = parts_needed(rate)
    say(
        f"{rate:.2%} false rejects need {needed} good parts at least, {2 * needed + 1} so that no "
        f"single one decides; there are {parts} ({len(judged.good)} pictures)"
    )
    if judged.not_judged:
        say(f"{judged.not_judged} pictures would be undecided by their quality and set nothing")


def _new_version(
    options: Options, whole: Bundle, bundle: Bundle, judged: Judged, fitted: Fitted
) -> NewVersion:
    from edge.bundle.recalibration import RECALIBRATION_SCHEMA, Recalibration
    from edge.cli.who import who
    from edge.evaluation.recalibration.changes import of_all_parts
    from edge.evaluation.recalibration.exchangeability import LEVEL
    from edge.evaluation.recalibration.new_version import next_version

    record = Recalibration(
        schema=RECALIBRATION_SCHEMA,
        by=options.by or who(),
        when=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        source=options.source,
        data_sha256=judged.data_sha256,
        product=options.product,
        rate=fitted.threshold.alpha,
        pictures=fitted.threshold.n,
        parts=fitted.threshold.groups,
        not_judged=judged.not_judged,
        before=bundle.id,
        threshold_before=bundle.thresholds.score.value,
        level=LEVEL,
        tested=tested_groups(fitted.tested),
        misses=fitted.misses,
        suggested_undecided_p=fitted.undecided_p,
    )
    version = options.version or next_version(bundle.manifest.version)
    return of_all_parts(whole, fitted.threshold, fitted.scores, record, version)


def _report(options: Options, judged: Judged, fitted: Fitted, made: Bundle, before: float) -> None:
    from edge.evaluation.recalibration.histogram import Bars

    defects = [each.score for each in judged.defects]
    bars = Bars("", fitted.scores.scores, defects, fitted.threshold.value)
    report(options, made, "threshold set anew", [bars], _words(fitted, before))


def _words(fitted: Fitted, before: float) -> list[str]:
    threshold, found = fitted.threshold, fitted.misses
    set_by = (
        f"threshold {threshold.value:.4f} instead of {before:.4f}, for {threshold.alpha:.2%} false "
        f"rejects from {threshold.n} pictures of {threshold.groups} good parts; at most "
        f"{threshold.bound95:.1%} with 95 % confidence"
    )
    lines = [set_by, *words_on_groups(fitted.tested, ("day", "camera"))]
    held = ""
    if found is not None:
        lines.append(words_on_misses(found, "labelled defects"))
        held = f" and {found.in_band} of the {found.missed} defects that pass"
    lines.append(
        f"suggested for the station: decision: {{undecided_p: {fitted.undecided_p:.3g}}}; holds "
        f"back about {fitted.undecided_p - threshold.alpha:.2%} more of the good parts{held}"
    )
    return lines
