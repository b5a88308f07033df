"""edge-calibrate threshold --type-threshold: the threshold of a harmless defect type."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from edge.cli.calibration_parts import Options, judged_parts, read_rate, report
from edge.cli.console import say
from edge.errors import ConfigError

if TYPE_CHECKING:
    from edge.bundle.recalibration import TypeRecord
    from edge.bundle.store import Bundle
    from edge.evaluation.recalibration.judged import Judged
    from edge.evaluation.recalibration.type_threshold import FittedType


def recalibrate_type(options: Options) -> None:
    """Judge labelled pictures, fit the type's threshold, and write the new version.

    Raises:
        EdgeError: an option is wrong, a source or the bundle unreadable, or the pictures support
            no such threshold.
    """
    from edge.bundle.store import open_bundle
    from edge.config.station import DecisionSettings, EngineSettings
    from edge.engines.load import load_engine, load_types_engine
    from edge.evaluation.recalibration.changes import of_type
    from edge.evaluation.recalibration.new_version import (
        check_new,
        next_version,
        write_version,
    )
    from edge.evaluation.recalibration.type_threshold import fit_type, without_rejects
    from edge.inspection.inspector import Inspector

    _ = options.source
    check_new(options.out)
    bundle = open_bundle(options.bundle)
    name, share = _type_and_share(options, bundle)
    settings = EngineSettings(threads=options.threads)
    decision = DecisionSettings(max_engine_failures=1)
    with load_engine(bundle, settings) as engine, load_types_engine(bundle, settings) as types:
        asking = without_rejects(bundle, name)
        views = {
            view: Inspector(asking.for_view(view), engine, decision, types)
            for view in bundle.thresholds.views
        }
        common = Inspector(asking, engine, decision, types)
        judged = judged_parts(options, lambda view: views.get(view or "", common))
        fitted = fit_type(judged.scores, name, share, bundle.thresholds.score.value)
        record = _record(options, bundle, judged, fitted)
        version = options.version or next_version(bundle.manifest.version)
        new = of_type(bundle, name, fitted, record, version)
        made = write_version(bundle, new, common, options.out)
    _report(options, judged, fitted, made, name)


def _type_and_share(options: Options, bundle: Bundle) -> tuple[str, float]:
    """Read dust=5%.

    Raises:
        ConfigError: it is no such thing, or nothing that this bundle could have.
    """
    name, _, text = (options.type_threshold or "").rpartition("=")
    known = bundle.recipe.defect_types
    if name not in known:
        raise ConfigError(
            f"--type-threshold: expected TYPE=SHARE, such as {known[0] if known else 'dust'}=5%, "
            f"with one of the bundle's types ({', '.join(known) or 'none'}), got "
            f"{options.type_threshold}"
        )
    if bundle.thresholds.products or options.product:
        raise ConfigError("--type-threshold: expected a bundle of one product")
    if bundle.thresholds.views and not options.views:
        listed = ", ".join(bundle.thresholds.views)
        raise ConfigError(f"--type-threshold: views ({listed}) have thresholds: give --views, too")
    if options.leave_out:
        raise ConfigError("--leave-out: goes with --rate; take the pictures out of the folder")
    return name, read_rate(text, "--type-threshold")


def _record(options: Options, bundle: Bundle, judged: Judged, fitted: FittedType) -> TypeRecord:
    from edge.bundle.recalibration import TypeRecord
    from edge.cli.who import who

    return TypeRecord(
        by=options.by or who(),
        when=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        source=options.source,
        data_sha256=judged.data_sha256,
        share=fitted.threshold.alpha,
        before=bundle.id,
        own=fitted.own,
        unnamed=fitted.unnamed,
        good=fitted.good,
        others=fitted.others,
    )


def _report(options: Options, judged: Judged, fitted: FittedType, made: Bundle, name: str) -> None:
    from edge.evaluation.recalibration.histogram import Bars

    threshold, own, good, others = fitted.threshold, fitted.own, fitted.good, fitted.others
    common = made.thresholds.score.value
    set_by = (
        f"a part that shows nothing but {name} fails from {threshold.value:.4f} on, in place of "
        f"{common:.4f}: at most {threshold.alpha:.2%} of such parts, from {threshold.groups} "
        f"labelled ones; with 95 % confidence at most {threshold.bound95:.1%}"
    )
    rejected = (
        f"of {own.pictures} pictures labelled {name} {own.after} are rejected, {own.before} "
        f"before; {fitted.unnamed} show regions of another name or none, for which the threshold "
        "of all parts holds"
    )
    lines = [set_by, rejected]
    if good.pictures:
        lines.append(
            f"of {good.pictures} pictures of good parts {good.after} are rejected, {good.before} "
            "before: a type rejects no part that passes without it"
        )
    if others is not None:
        lines.append(
            f"of {others.defects} labelled defects of other names {others.passed} pass by it, for "
            f"they are taken for {name}: {others.passed / others.defects:.1%} (95 % interval "
            f"{others.low:.1%} to {others.high:.1%})"
        )
    else:
        say(f"no labelled defects of other names: how many are taken for {name} is not known")
    if judged.not_judged:
        say(f"{judged.not_judged} pictures would be undecided by their quality and set nothing")
    bars = Bars(
        name,
        [each.score for each in judged.good],
        [each.score for each in judged.scores if each.label == name],
        threshold.value,
    )
    report(options, made, f"threshold of {name}", [bars], lines)
