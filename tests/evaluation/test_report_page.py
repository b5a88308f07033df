"""The report in a real browser, and what it says of misses, parts and other bundles.

EDGE_SCREENSHOTS=FOLDER keeps pictures of the pages.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.bundle.store import Bundle
from edge.cli.comparison_table import comparison_json, print_comparison
from edge.data.image_set import ImageSet, read_image_set
from edge.errors import DataError
from edge.evaluation.comparison import Comparison, both_unseen, compare
from edge.evaluation.evaluate import Evaluation, evaluate
from edge.evaluation.picture_rows import picture_rows, suggestions
from edge.evaluation.report import galleries as galleries_module
from edge.evaluation.report import strips
from edge.evaluation.report.comparison_page import Side, changes_shown, write_comparison
from edge.evaluation.report.document import write_report
from edge.evaluation.report.galleries import draw_galleries, galleries
from edge.evaluation.report.heat import HeatScale
from edge.evaluation.report.strips import draw_strips
from edge.evaluation.set_inspector import SetInspector
from tests.evaluation.test_evaluate import (  # noqa: F401 - a fixture
    EVIL,
    BrightEngine,
    Page,
    bundle,
    no_bar,
    write_part,
)

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
# Scores are a hundredth of these; the threshold is 1.
GOOD = {"a": 20, "b": 30, "c": 40, "d": 50, "e": 60, "f": 150}
SPOTS = {"p": 35, "q": 45, "r": 90, "s": 160}
OTHERS = {"t": 55, "u": 250}
DENT = EVIL.replace("/", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "parts"
    for kind, pictures in (("good", GOOD), ("spot", SPOTS), (DENT, OTHERS)):
        for name, bright in pictures.items():
            write_part(folder, kind, name, bright=bright)
    return folder


@pytest.fixture(scope="module")
def images(folder: Path) -> ImageSet:
    """Six good pictures and six defective ones; parts with `<b>1` have e, f, p and q."""
    read = read_image_set(folder)
    groups = dict.fromkeys("efpq", "<b>1")
    test = tuple(replace(s, group=groups.get(s.path.stem, s.path.stem)) for s in read.test)
    return replace(read, test=test, has_groups=True)


@pytest.fixture(scope="module")
def result(bundle: Bundle, images: ImageSet) -> Evaluation:  # noqa: F811
    return evaluate(bundle, BrightEngine(), images, no_bar)


@pytest.fixture(scope="module")
def page_file(
    bundle: Bundle,  # noqa: F811
    result: Evaluation,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    write_report(file, result, bundle, f"set {EVIL}", SetInspector(bundle, BrightEngine()), no_bar)
    return file


class DimEngine(BrightEngine):
    """Sees half of the brightness."""

    def run(self, inputs):
        found = super().run(inputs)
        return {"map": found["map"] / 2, "score": found["score"] / 2}


@pytest.fixture(scope="module")
def comparison(bundle: Bundle, images: ImageSet, result: Evaluation) -> Comparison:  # noqa: F811
    return compare(evaluate(bundle, DimEngine(), images, no_bar), result)


def test_every_test_picture_is_listed(
    result: Evaluation,
    bundle: Bundle,  # noqa: F811
    images: ImageSet,
    folder: Path,
) -> None:
    own = replace(bundle, own_pictures=("test/spot/s.png",))
    less = evaluate(own, BrightEngine(), images, no_bar)
    rows = picture_rows(less, own, images, folder)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    by_file = {row["file"]: row for row in rows}
    assert len(by_file) == len(images.test) == 12
    assert by_file["test/good/f.png"] == {
        "file": "test/good/f.png", "label": "good", "part": "<b>1", "score": pytest.approx(1.5),
        "verdict": "fail", "types": ["unknown"], "split": "test",
    }  # fmt: skip
    assert by_file["test/spot/p.png"]["verdict"] == "pass"
    left_out = by_file["test/spot/s.png"]
    assert (left_out["score"], left_out["verdict"], left_out["split"]) == (None, None, "types")
    alone = replace(images, has_groups=False)
    assert picture_rows(result, bundle, alone, folder)[0]["part"] is None
    (first, *_) = suggestions(result)
    assert first == {
        "rate": 0.005, "threshold": pytest.approx(1.5), "false_reject_rate": 0.0,
        "recall": pytest.approx(2 / 6, abs=1e-6),
    }  # fmt: skip


def test_all_misses_are_there_by_type_and_the_rest_by_name(
    bundle: Bundle,  # noqa: F811
    result: Evaluation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    misses, rejects, *_ = galleries(result)
    assert {name: [i.name for i in items] for name, items in misses.groups.items()} == {
        "spot": ["spot/p.png", "spot/q.png", "spot/r.png"],
        DENT: [f"{DENT}/t.png"],
    }
    assert list(rejects.groups) == ["part <b>1"]
    assert misses.named == ()
    monkeypatch.setattr(galleries_module, "SHOWN_WRONG", 2)
    misses = galleries(result)[0]
    assert [i.sample.label for i in misses.drawn] == ["spot", DENT], "types take turns"
    assert [i.name for i in misses.named] == ["spot/q.png", "spot/r.png"]
    inspect = SetInspector(bundle, BrightEngine())
    text = "".join(draw_galleries(result, inspect, no_bar))
    assert "2 more, by name" in text
    assert "<li>spot/q.png, score 0.450</li>" in text
    assert "Shown: 2 of 4." in text


def test_parts_are_strips_worst_first_and_bounded(
    result: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(draw_strips(result))
    assert "part &lt;b&gt;1: 3 of 4 wrong" in text
    assert text.count("<img") == 4
    assert text.count('class="wrong"') == 3
    monkeypatch.setattr(strips, "LENGTH", 3)
    assert "and 1 more" in "".join(draw_strips(result))
    monkeypatch.setattr(strips, "STRIPS", 0)
    assert "1 more parts, by name" in "".join(draw_strips(result))
    assert "<img" not in "".join(draw_strips(replace(result, has_groups=False)))


def test_a_miss_far_below_the_threshold_is_drawn_and_scales_are_the_same(
    result: Evaluation,
) -> None:
    scale = HeatScale.of(result)
    assert scale == (pytest.approx(0.1), 1.0), "from what good parts show to the threshold"
    grey = np.full((8, 8, 3), 128, np.uint8)
    found = np.full((8, 8), 0.1, np.float32)
    found[2:6, 2:6] = 0.35
    drawn = scale.draw(grey, found).astype(int)
    assert np.abs(drawn[4, 4] - drawn[0, 0]).max() > 50, "a third of the threshold is seen"
    above = scale.draw(grey, np.full((8, 8), 7.0, np.float32))
    at = scale.draw(grey, np.full((8, 8), 1.0, np.float32))
    assert (above == at).all()
    assert HeatScale.of(replace(result, ground=float("nan"))) == (0.0, 1.0)
    assert HeatScale.of(replace(result, ground=2.0)) == (0.0, 1.0)


def test_two_bundles_are_told_apart(
    comparison: Comparison,
    bundle: Bundle,  # noqa: F811
    images: ImageSet,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Half of 1.5 and 1.6 passes, half of 2.5 does not.
    names = {kind: [c.first.name for c in changes] for kind, changes in comparison.kinds.items()}
    assert names == {
        "newly missed": ["spot/s.png"],
        "newly found": [],
        "newly rejected": [],
        "no longer rejected": ["good/f.png"],
    }
    assert comparison.difference() == (0.0, 0.0, 0.0), "the order is the same"
    figures = {name: values for name, *values in comparison.rows()}
    assert figures["recall at the shipped threshold"] == pytest.approx([1 / 6, 2 / 6], abs=1e-6)
    data = comparison_json(comparison, (bundle, bundle), images, folder)
    json.dumps(data, allow_nan=False)
    assert data["changed"][0] == {
        "file": "test/spot/s.png", "label": "spot", "part": "s", "change": "newly missed",
        "bundle": {"score": pytest.approx(0.8), "verdict": "pass", "types": []},
        "against": {"score": pytest.approx(1.6), "verdict": "fail", "types": ["unknown"]},
    }  # fmt: skip
    print_comparison(comparison, ("[red]one", "two"), "set")
    printed = capsys.readouterr().out
    assert "A: [red]one" in printed
    assert "newly missed: 1: spot/s.png" in printed
    file = tmp_path / "changes.html"
    sides = (
        Side(EVIL, SetInspector(bundle, DimEngine())),
        Side("two", SetInspector(bundle, BrightEngine())),
    )
    steps: list[int] = []
    write_comparison(file, comparison, EVIL, sides, steps.append)
    assert len(steps) == changes_shown(comparison) == 2
    page = Page(file.read_text(encoding="utf-8"))
    assert not page.attributes("script")
    assert not page.attributes("b")
    assert len(page.attributes("image")) == 2 * 3, "the picture and both maps"
    said = " ".join(" ".join(page.said).split())
    assert "0.1667 0.3333 -0.1667" in said


def test_both_bundles_see_the_same_pictures(
    bundle: Bundle,  # noqa: F811
    images: ImageSet,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = replace(bundle, own_pictures=("test/spot/p.png",))
    second = replace(bundle, own_pictures=("test/spot/q.png",))
    kept = both_unseen((first, second), images)
    assert len(kept.test) == 10
    assert "2 test pictures are left out for both" in caplog.text
    names = [f"test/{s.label}/{s.path.name}" for s in images.test]
    halves = [replace(bundle, own_pictures=tuple(part)) for part in (names[:6], names[6:])]
    with pytest.raises(DataError, match="one bundle or the other learned"):
        both_unseen(halves, images)


@pytest.fixture(scope="module")
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if BROWSER is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


def test_the_slider_says_what_the_data_says(browser, page_file: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    context.set_default_timeout(60_000)
    problems: list[str] = []
    asked: list[str] = []
    page = context.new_page()
    page.on("console", lambda m: problems.append(m.text) if m.type in ("error", "warning") else 0)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri())

    def says() -> list[str]:
        names = ("threshold", "rejected", "found", "missed")
        return [page.inner_text(f"[data-say={name}]") for name in names]

    assert says() == ["1.00000", "1 of 6", "2 of 6", "4"]
    assert page.inner_text("[data-say=missing]") == f"{DENT} 1, spot 3"
    page.focus("#threshold")
    page.keyboard.press("Home")
    assert says()[1:] == ["6 of 6", "6 of 6", "0"]
    page.keyboard.press("End")
    assert says()[1:] == ["0 of 6", "0 of 6", "6"]
    good, bad = GOOD.values(), [*SPOTS.values(), *OTHERS.values()]
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
        at = float(says()[0])
        out, found = (sum(v / 100 > at + 1e-5 for v in values) for values in (good, bad))
        assert says()[1:] == [f"{out} of 6", f"{found} of 6", str(6 - found)], at
        dot = page.locator("[data-trade] circle").last
        x, y = (float(dot.get_attribute(name)) for name in ("cx", "cy"))
        assert x == pytest.approx(46 + 302 * out / 6)
        assert y == pytest.approx(244 - 232 * found / 6)
    page.locator("table [data-threshold]").first.click()
    assert says() == ["1.50000", "0 of 6", "2 of 6", "4"]
    found = axe.Axe().run(page).response["violations"]
    assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []
    assert problems == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0
    if shots := os.environ.get("EDGE_SCREENSHOTS"):
        Path(shots).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(shots) / "report.png", full_page=True)
        page.locator(".pictures").first.scroll_into_view_if_needed()
        page.screenshot(path=Path(shots) / "misses.png")
    context.close()
