"""The options of edge-calibrate threshold, and the parts that they name, judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edge.cli.console import progress, say, say_next
from edge.errors import ConfigError

if TYPE_CHECKING:
    from edge.bundle.recalibration import Misses, TestedGroups
    from edge.bundle.store import Bundle
    from edge.evaluation.recalibration.exchangeability import GroupTest
    from edge.evaluation.recalibration.histogram import Bars
    from edge.evaluation.recalibration.judged import Judged, Shown
    from edge.frame import Frame
    from edge.inspection.inspector import Inspector

Source = Literal["folder", "archive", "camera"]


@dataclass(frozen=True, slots=True)
class Options:
    """As edge-calibrate threshold has them; one of `data`, `archive` and `camera` is given."""

    bundle: Path
    out: Path
    rate: str | None = None
    views: bool = False
    type_threshold: str | None = None
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
        if found[0] == "camera" and (self.views or self.type_threshold):
            raise ConfigError("--views, --type-threshold: go with --data or --archive")
        return found[0]


def read_rate(text: str, option: str = "--rate") -> float:
    """Read a rate such as 1% or 0.01 of an option.

    Raises:
        ConfigError: it is none between 0 and 50 %.
    """
    try:
        rate = float(text.strip().rstrip("%")) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        rate = math.nan
    if not 0 < rate <= 0.5:
        raise ConfigError(f"{option}: expected a rate such as 1% or 0.01, up to 50%, got {text}")
    return rate


def judged_before_camera(options: Options, needed: int, inspector: Inspector) -> Judged:
    """Judge good parts that come before the camera, one by one; twice as many as are needed.

    Raises:
        EdgeError: the camera or the engine fails.
    """
    from edge.evaluation.recalibration.judged import camera_pictures

    assert options.camera is not None  # noqa: S101 - narrowing only
    wanted = options.count or 2 * needed
    say(f"show {wanted} good parts to the camera, none of which training has seen")
    with _camera_frames(options.camera) as frames:
        return _with_bar(camera_pictures(frames, wanted), wanted, lambda _: inspector)


def judged_parts(options: Options, inspector_of: Callable[[str | None], Inspector]) -> Judged:
    """Judge the parts of a folder or an archive; of several views if the options say so.

    Raises:
        EdgeError: the source or an option is wrong, or the engine fails.
    """
    from edge.archive.layout import parse_moment
    from edge.evaluation.recalibration import judged as found
    from edge.evaluation.recalibration.view_pictures import view_pictures

    if options.source == "archive":
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
        read = view_pictures if options.views else found.folder_pictures
        total, shown = read(options.data)
    return _with_bar(shown, total, inspector_of)


def _with_bar(
    shown: Iterator[Shown], total: int, inspector_of: Callable[[str | None], Inspector]
) -> Judged:
    from edge.evaluation.recalibration.judged import judge

    with progress("judging parts", total) as advance:
        return judge(shown, inspector_of, advance)


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


def tested_groups(tested: Sequence[GroupTest]) -> tuple[TestedGroups, ...]:
    """What the record of a calibration says of the factors that were tested."""
    from edge.bundle.recalibration import TestedGroups

    return tuple(
        TestedGroups(factor=each.factor, counts=each.counts, p_value=each.p_value)
        for each in tested
    )


def words_on_groups(tested: Sequence[GroupTest], factors: Collection[str]) -> list[str]:
    """One line for each factor that was tested, and one for those that nothing tells."""
    from edge.evaluation.recalibration.exchangeability import LEVEL

    lines = []
    for each in tested:
        counts = ", ".join(f"{name} ({parts} parts)" for name, parts in each.counts.items())
        lines.append(
            f"{each.factor}: {counts} do not differ (permutation p = {each.p_value:.3f}, level "
            f"{LEVEL:g})"
        )
    missing = sorted({*factors} - {each.factor for each in tested})
    if missing:
        lines.append(f"not tested, for nothing tells several of them apart: {', '.join(missing)}")
    return lines


def words_on_misses(found: Misses, what: str) -> str:
    """One line: how many labelled defects pass, with the interval."""
    return (
        f"of {found.defects} {what} {found.missed} pass: {found.missed / found.defects:.1%} (95 % "
        f"interval {found.low:.1%} to {found.high:.1%})"
    )


def say_dropped(bundle: Bundle) -> None:
    """Say that thresholds of types are gone, which rest on the threshold that was."""
    if bundle.thresholds.types:
        names = ", ".join(bundle.thresholds.types)
        say(f"dropped: the thresholds of {names} rest on the one before; set them again")


def report(
    options: Options, made: Bundle, what: str, charts: Sequence[Bars], lines: Sequence[str]
) -> None:
    """Print histograms and lines, write them as a page if that is asked for, and name the bundle.

    Raises:
        WriteError: the page cannot be written.
    """
    from edge.atomic_file import write_text
    from edge.evaluation.recalibration.histogram import as_page, as_text

    for bars in charts:
        for line in as_text(bars):
            print(line)
    for line in lines:
        say(line)
    if options.report is not None:
        title = f"{made.manifest.name} {made.manifest.version}: {what}"
        write_text(options.report, as_page(title, charts, lines))
        say(f"{options.report}: histogram")
    say(
        f"{options.out}: {made.manifest.name} {made.manifest.version} ({made.id[:12]}), "
        f"not signed; {options.bundle} stays as it was"
    )
    say_next("edge-infer", "STATION.yaml", "--bundle", options.out, "--check")
