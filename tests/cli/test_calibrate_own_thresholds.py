"""edge-calibrate threshold for views and for a type, on the demo's bundle and its pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edge.bundle.recalibration import read_recalibration, read_type_records
from edge.bundle.store import open_bundle
from edge.cameras.source import frame_now
from edge.cli.eval import main as eval_main
from edge.config.station import DecisionSettings, EngineSettings
from edge.data.image_set import read_pixels
from edge.engines.load import load_engine
from edge.inspection.inspector import Inspector
from edge.result import Inspection, Reason, Verdict
from tests.cli.test_calibrate import calibrate
from tests.support.any_frame_bundle import PACKAGED_BUNDLE
from tests.support.bundles import ROOT
from tests.support.in_process import Done, run_here

IMAGES = ROOT / "demo" / "images"
HARMLESS = "spurious_copper"


def demo(kind: str) -> list[Path]:
    return sorted((IMAGES / kind).glob("*.png"))


def copy(path: Path, *target: str) -> None:
    folder = Path(*target)
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, folder)


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 good parts in two views, and 4 that show a spur in one of them."""
    folder = tmp_path_factory.mktemp("views")
    good = demo("good")
    for number, (left, right) in enumerate(zip(good[:24], good[24:], strict=True)):
        copy(left, str(folder), "left", "test/good", f"{number:03}.png")
        copy(right, str(folder), "right", "test/good", f"{number:03}.png")
    for number, path in enumerate(demo("spur")[:4]):
        copy(path, str(folder), "left", "test/spur", f"s{number}.png")
        copy(good[number], str(folder), "right", "test/spur", f"s{number}.png")
    return folder


def evaluate(*arguments: object) -> Done:
    return run_here(eval_main, "edge-eval", *arguments)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    for kind, count in (("good", 12), (HARMLESS, 10), ("spur", 5)):
        for path in demo(kind)[:count]:
            copy(path, str(folder), "test", kind, path.name)
    return folder


def test_each_view_gets_a_threshold_by_a_rate_of_parts(views: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "new", tmp_path / "scores.html"
    before = open_bundle(PACKAGED_BUNDLE)
    done = calibrate(
        "threshold", PACKAGED_BUNDLE, "--data", views, "--rate", "10%", "--views", "--out", out,
        "--report", page,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "in 2 views (left, right) need 19 good parts at least; there are 24" in done.stdout
    assert "view left: threshold " in done.stdout
    assert "of 4 labelled defective parts" in done.stdout
    assert page.read_text().count("<svg") == 2

    made = open_bundle(out)
    assert list(made.thresholds.views) == ["left", "right"]
    assert made.thresholds.score == before.thresholds.score
    left, right = made.for_view("left"), made.for_view("right")
    assert (len(left.scores), left.above[0]) == (24, 24)
    assert left.thresholds.score.bound95 == right.thresholds.score.bound95
    record = read_recalibration(made)
    assert record is not None
    assert (record.views, record.parts, record.pictures) == (("left", "right"), 24, 48)
    assert "Thresholds of views" in (out / "card.md").read_text()

    found = evaluate(out, "--data", views / "left", "--view", "left", "--json")
    judged = json.loads(found.stdout)
    assert judged["threshold"] == pytest.approx(left.thresholds.score.value, rel=1e-5)
    assert judged["threshold"] != pytest.approx(made.thresholds.score.value, rel=1e-3)
    wrong = evaluate(out, "--data", views / "left", "--view", "back")
    assert wrong.returncode == 3
    assert "expected one of its views (left, right), got back" in wrong.stderr

    again = calibrate("threshold", out, "--data", views, "--rate", "10%", "--out", tmp_path / "x")
    assert again.returncode == 2
    assert "has thresholds of the views left, right" in again.stderr


def test_a_harmless_type_gets_a_threshold_that_the_line_keeps(
    labelled: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new"
    done = calibrate(
        "threshold", PACKAGED_BUNDLE, "--data", labelled, "--type-threshold", f"{HARMLESS}=50%",
        "--out", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"a part that shows nothing but {HARMLESS} fails from " in done.stdout
    assert "of 5 labelled defects of other names" in done.stdout
    made = open_bundle(out)
    record = read_type_records(made)[HARMLESS]
    assert record.own.after <= record.own.pictures // 2
    assert record.good.after <= record.good.before
    assert f"Threshold of {HARMLESS}" in (out / "card.md").read_text()

    with load_engine(made, EngineSettings()) as engine:
        inspector = Inspector(made, engine, DecisionSettings())

        def inspected(path: Path) -> Inspection:
            return inspector.inspect(frame_now("top", 0, read_pixels(path))).inspection

        own = [inspected(path) for path in demo(HARMLESS)]
    assert sum(each.verdict is Verdict.FAIL for each in own) == record.own.after
    passed = [each for each in own if each.reason is Reason.WITHIN_TYPE_THRESHOLD]
    assert len(passed) == record.own.before - record.own.after > 0
    assert {each.threshold_type for each in passed} == {HARMLESS}

    anew = tmp_path / "anew"
    done = calibrate("threshold", out, "--data", labelled, "--rate", "10%", "--out", anew)
    assert done.returncode == 0, done.stderr
    assert f"dropped: the thresholds of {HARMLESS} rest on the one before" in done.stdout
    assert not open_bundle(anew).thresholds.types


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--data", "d"), "expected one of --rate and --type-threshold"),
        (("--data", "d", "--rate", "1%", "--type-threshold", "a=1%"), "expected one of --rate"),
        (("--camera", "c", "--rate", "1%", "--views"), "go with --data or --archive"),
        (("--data", "d", "--type-threshold", "dust=5%"), "one of the bundle's types (mousebite"),
        (("--data", "d", "--type-threshold", "spur=x"), "--type-threshold: expected a rate"),
    ],
)
def test_options_that_contradict(given: tuple[str, ...], words: str, tmp_path: Path) -> None:
    done = calibrate("threshold", PACKAGED_BUNDLE, "--out", tmp_path / "new", *given)
    assert done.returncode == 2
    assert words in done.stderr
