"""edge-calibrate threshold: set the threshold of a bundle anew, with the evidence for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edge.cli.console import progress, say, say_next
from edge.errors import ConfigError

if TYPE_CHECKING:
    from edge.bundle.store import Bundle
    from edge.evaluation.recalibration.judged import Judged, Shown
    from edge.evaluation.recalibration.new_version import NewThreshold
    from edge.evaluation.recalibration.threshold import Fitted
    from edge.frame import Frame
    from edge.inspection.inspector import Inspector

Source = Literal["folder", "archive", "camera"]


@dataclass(frozen=True, slots=True)
class Options:
    """As edge-calibrate threshold has them; one of `data`, `archive` and `camera` is given."""

    bundle: Path
    out: Path
    rate: str
    data: Path | None = None
    archive: Path | None = None
    camera: str | None = None
    since: str | None = None
    until: str | None = None
    all_good: bool = False
    count: int | None = None
    product: str | None = None
    leave_out: tuple[str, ...] = ()
    by: str | None = None
    version: str | None = None
    report: Path | None = None
    threads: int = 0

    @property
    def source(self) -> Source:
        """Where the parts come from.

        Raises:
            ConfigError: not exactly one source is given, or an option belongs to another one.
        """
        given: dict[Source, object] = {
            "folder": self.data, "archive": self.archive, "camera": self.camera,
        }  # fmt: skip
        found = [name for name, value in given.items() if value is not None]
        if len(found) != 1:
            raise ConfigError("expected one of --data, --archive and --camera")
        if found[0] != "archive" and (self.since or self.until or self.all_good):
            raise ConfigError("--since, --until, --all-good: go with --archive")
        if found[0] != "camera" and self.count is not None:
            raise ConfigError("--count: goes with --camera")
        return found[0]


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
    from edge.evaluation.recalibration.threshold import fit
    from edge.inspection.inspector import Inspector

    rate, source = read_rate(options.rate), options.source
    check_new(options.out)
    whole = open_bundle(options.bundle)
    bundle = _for_product(whole, options.product)
    settings = EngineSettings(threads=options.threads)
    with load_engine(bundle, settings) as engine, load_types_engine(bundle, settings) as types:
        inspector = Inspector(bundle, engine, DecisionSettings(max_engine_failures=1), types)
        judged = _judged(options, source, rate, inspector)
        _say_parts(judged, rate)
        fitted = fit(judged.good, judged.defects, rate, options.leave_out)
        new = _new_version(options, source, bundle, judged, fitted)
        made = write_version(whole, new, inspector, options.out)
    _report(options, judged, fitted, made, bundle.thresholds.score.value)


def read_rate(text: str) -> float:
    """Read a rate such as 1% or 0.01.

    Raises:
        ConfigError: it is none between 0 and 50 %.
    """
    try:
        rate = float(text.strip().rstrip("%")) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        rate = math.nan
    if not 0 < rate <= 0.5:
        raise ConfigError(f"--rate: expected a rate such as 1% or 0.01, up to 50%, got {text}")
    return rate


def _for_product(whole: Bundle, product: str | None) -> Bundle:
    if product is not None:
        return whole.for_product(product)
    if whole.thresholds.products:
        served = ", ".join(whole.thresholds.products)
        raise ConfigError(f"--product: expected one of {served}; each has a threshold of its own")
    return whole


def _judged(options: Options, source: Source, rate: float, inspector: Inspector) -> Judged:
    from edge.archive.layout import parse_moment
    from edge.evaluation.recalibration import judged as found
    from edge.evaluation.recalibration.threshold import parts_needed

    if source == "camera":
        assert options.camera is not None  # noqa: S101 - narrowing only
        wanted = options.count or 2 * parts_needed(rate)
        say(f"show {wanted} good parts to the camera, none of which training has seen")
        with _camera_frames(options.camera) as frames:
            return _with_bar(found.camera_pictures(frames, wanted), wanted, inspector)
    if source == "archive":
        assert options.archive is not None  # noqa: S101 - narrowing only
        try:
            since, until = (
                parse_moment(text) if text is not None else None
                for text in (options.since, options.until)
            )
        except ValueError as error:
            raise ConfigError(f"--since, --until: {error}") from None
        total, shown = found.archive_pictures(
            options.archive, since, until, all_good=options.all_good
        )
    else:
        assert options.data is not None  # noqa: S101 - narrowing only
        total, shown = found.folder_pictures(options.data)
    return _with_bar(shown, total, inspector)


def _with_bar(shown: Iterator[Shown], total: int, inspector: Inspector) -> Judged:
    from edge.evaluation.recalibration.judged import judge

    with progress("judging parts", total) as advance:
        return judge(shown, inspector, advance)


@contextmanager
def _camera_frames(address: str) -> Iterator[Iterator[Frame]]:
    from edge.cameras.factory import make_source
    from edge.config.camera import CameraSettings

    source = make_source(CameraSettings(source=address))
    with closing(source):
        source.open()

        def frames() -> Iterator[Frame]:
            while (frame := source.read()) is not None:
                yield frame

        yield frames()


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
    options: Options, source: Source, bundle: Bundle, judged: Judged, fitted: Fitted
) -> NewThreshold:
    from edge.bundle.recalibration import RECALIBRATION_SCHEMA, Recalibration, TestedGroups
    from edge.cli.who import who
    from edge.evaluation.recalibration.exchangeability import LEVEL
    from edge.evaluation.recalibration.new_version import NewThreshold, next_version

    record = Recalibration(
        schema=RECALIBRATION_SCHEMA,
        by=options.by or who(),
        when=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        source=source,
        data_sha256=judged.data_sha256,
        product=options.product,
        rate=fitted.threshold.alpha,
        pictures=fitted.threshold.n,
        parts=fitted.threshold.groups,
        not_judged=judged.not_judged,
        before=bundle.id,
        threshold_before=bundle.thresholds.score.value,
        level=LEVEL,
        tested=tuple(
            TestedGroups(factor=each.factor, counts=each.counts, p_value=each.p_value)
            for each in fitted.tested
        ),
        misses=fitted.misses,
        suggested_undecided_p=fitted.undecided_p,
    )
    version = options.version or next_version(bundle.manifest.version)
    return NewThreshold(fitted.threshold, fitted.scores, record, version)


def _report(options: Options, judged: Judged, fitted: Fitted, made: Bundle, before: float) -> None:
    from edge.atomic_file import write_text
    from edge.evaluation.recalibration.histogram import as_page, as_text

    good = list(fitted.scores.scores)
    defects = [each.score for each in judged.defects]
    lines = _words(fitted, before)
    for line in as_text(good, defects, fitted.threshold.value):
        print(line)
    for line in lines:
        say(line)
    if options.report is not None:
        title = f"{made.manifest.name} {made.manifest.version}: threshold set anew"
        write_text(options.report, as_page(title, good, defects, fitted.threshold.value, lines))
        say(f"{options.report}: histogram")
    say(
        f"{options.out}: {made.manifest.name} {made.manifest.version} ({made.id[:12]}), "
        f"not signed; {options.bundle} stays as it was"
    )
    say_next("edge-infer", "STATION.yaml", "--bundle", options.out, "--check")


def _words(fitted: Fitted, before: float) -> list[str]:
    from edge.evaluation.recalibration.exchangeability import LEVEL

    threshold, found = fitted.threshold, fitted.misses
    set_by = (
        f"threshold {threshold.value:.4f} instead of {before:.4f}, for {threshold.alpha:.2%} false "
        f"rejects from {threshold.n} pictures of {threshold.groups} good parts; at most "
        f"{threshold.bound95:.1%} with 95 % confidence"
    )
    lines = [set_by]
    for each in fitted.tested:
        counts = ", ".join(f"{name} ({parts} parts)" for name, parts in each.counts.items())
        lines.append(
            f"{each.factor}: {counts} do not differ (permutation p = {each.p_value:.3f}, level "
            f"{LEVEL:g})"
        )
    missing = sorted({"day", "camera"} - {each.factor for each in fitted.tested})
    if missing:
        lines.append(f"not tested, for nothing tells several of them apart: {', '.join(missing)}")
    held = ""
    if found is not None:
        lines.append(
            f"of {found.defects} labelled defects {found.missed} pass: "
            f"{found.missed / found.defects:.1%} (95 % interval {found.low:.1%} to "
            f"{found.high:.1%})"
        )
        held = f" and {found.in_band} of the {found.missed} defects that pass"
    lines.append(
        f"suggested for the station: decision: {{undecided_p: {fitted.undecided_p:.3g}}}; holds "
        f"back about {fitted.undecided_p - threshold.alpha:.2%} more of the good parts{held}"
    )
    return lines
