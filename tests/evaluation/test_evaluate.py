"""edge-eval's figures and page, with the demo's bundle and pictures and with an engine by hand."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.bundle.frame_limits_file import without_limits
from edge.bundle.store import Bundle, open_bundle
from edge.cli.tables import print_evaluation
from edge.config.station import EngineSettings
from edge.data.image_set import ImageSet, Sample, read_image_set
from edge.engines.load import load_engine
from edge.engines.protocol import EngineInfo
from edge.errors import ConfigError, DataError, EngineError, InferenceError
from edge.evaluation.evaluate import Evaluation, evaluate, measure
from edge.evaluation.evaluated_part import EvaluatedPart
from edge.evaluation.region_metrics import overlap
from edge.evaluation.report.charts import curve, histogram, ticks
from edge.evaluation.report.document import check_writable, write_report
from edge.evaluation.report.galleries import SHOWN, galleries, shown
from edge.evaluation.report.page import Markup, fill, join, table
from edge.evaluation.report.tables import counted
from edge.evaluation.report.thresholds import SCRIPT
from edge.evaluation.set_inspector import SetInspector
from edge.geometry.geometry import Geometry
from edge.geometry.teaching import teach_alignment
from edge.inspection.inspector import Inspected
from tests.support.geometry_pictures import part_picture

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "demo"
TYPES = ("spot", "<b>dent</b>")
EVIL = '<script>alert("1")</script>&'

BLACK = np.zeros((256, 256), np.uint8)


def no_bar(_done: int) -> None:
    return


class BrightEngine:
    """Calls what is bright a defect: map = brightness / 100, score = its maximum."""

    info = EngineInfo("bright", "1", "fp32", "CPU", 1)
    fault: Exception | None = None

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        if self.fault:
            raise self.fault
        level = inputs["frame"][:, ::2, ::2, 0].astype(np.float32) / 100
        return {"map": level, "score": level.max((1, 2))}

    def close(self) -> None: ...

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """The demo's, for any brightness, with a threshold of 1 and two types."""
    demo = without_limits(open_bundle(DEMO / "bundle"))
    changes = {"frame_quality": None, "defect_types": TYPES, "product": EVIL}
    score = demo.thresholds.score.model_copy(update={"value": 1.0})
    return replace(
        demo,
        recipe=demo.recipe.model_copy(update=changes),
        thresholds=demo.thresholds.model_copy(update={"score": score}),
        manifest=demo.manifest.model_copy(update={"name": EVIL}),
    )


def write_part(folder: Path, kind: str, name: str, *, bright: int) -> None:
    """Write a dark 256 x 256 picture with a square at (32, 64), 32 pixels wide."""
    pixels = np.full((256, 256, 3), 10, np.uint8)
    pixels[64:96, 32:64] = bright
    (folder / "test" / kind).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "test" / kind / f"{name}.png"), pixels)
    if kind != "good":
        truth = BLACK.copy()
        truth[64:96, 32:64] = 255
        truth[200:204, 200:204] = 255  # never found
        (folder / "ground_truth" / kind).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "ground_truth" / kind / f"{name}_mask.png"), truth)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """Four good parts of which one is rejected, spots all found, dents found but for one."""
    folder = tmp_path_factory.mktemp("sets") / "parts"
    for name, bright in (("a", 20), ("b", 40), ("c", 60), ("d", 150)):
        write_part(folder, "good", name, bright=bright)
    for name, bright in (("a", 160), ("b", 250)):
        write_part(folder, "spot", name, bright=bright)
    for name, bright in (("a", 50), ("b", 240)):
        write_part(folder, EVIL.replace("/", ""), name, bright=bright)
    # A mask without a defect counts as none.
    cv2.imwrite(str(folder / "ground_truth" / EVIL.replace("/", "") / "a_mask.png"), BLACK)
    return read_image_set(folder)


def named(judge: Callable[[Sample], Inspected], names: Mapping[float, str]):
    """Give the regions types by their peak, as a typing bundle would."""

    def judge_and_name(sample: Sample) -> Inspected:
        inspection, anomaly_map = judge(sample)
        regions = tuple(
            replace(region, type=names[round(region.peak, 1)], type_score=0.75)
            for region in inspection.regions
        )
        return Inspected(replace(inspection, regions=regions), anomaly_map)

    return judge_and_name


NAMES = {1.5: "spot", 1.6: "spot", 2.5: "unknown", 2.4: TYPES[1]}


@pytest.fixture(scope="module")
def result(bundle: Bundle, images: ImageSet) -> Evaluation:
    """As `evaluate` measures it, with the regions named."""
    plain = evaluate(bundle, BrightEngine(), images, no_bar)
    judge = named(SetInspector(bundle, BrightEngine()), NAMES)
    judged = [EvaluatedPart(i.sample, judge(i.sample).inspection, i.overlap) for i in plain.parts]
    return measure(bundle, judged, plain.pixel)


def test_the_figures_of_a_set_by_hand(result: Evaluation) -> None:
    assert (result.good, result.defective, result.masks) == (4, 4, 3)
    assert result.false_reject_rate == 1 / 4
    assert result.recall == 3 / 4
    # Good 0.2 0.4 0.6 1.5 against 1.6 2.5 0.5 2.4.
    assert result.image_auroc == pytest.approx((4 + 4 + 2 + 4) / 16)
    # None of four good parts may be rejected at 5 %: above 1.5 lie 1.6, 2.5 and 2.4.
    assert result.recall_at == {0.01: 3 / 4, 0.05: 3 / 4}
    assert result.regions.recall == 3 / 6
    assert result.regions.false_alarms_good == 1 / 4
    assert result.regions.false_alarms_defective == 0
    assert result.types is not None
    assert result.types.accuracy == pytest.approx(1 / 3)
    assert result.types.unknown_rate == pytest.approx(1 / 3)
    # The region of one spot is named; the folder of the dents has a name the bundle lacks.
    assert result.regions.type_accuracy == pytest.approx(1 / 3)


def test_the_summary_says_the_recall_at_few_false_rejects(
    result: Evaluation, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    print_evaluation(result, bundle, "parts")
    printed = " ".join(capsys.readouterr().out.split())
    assert "recall by false rejects, thresholds from these good parts: 75.0% at 1%" in printed


def test_the_json_has_the_published_keys(result: Evaluation) -> None:
    data = json.loads(json.dumps(result.as_json(), allow_nan=False))
    assert {
        "image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "pixel_ap", "pixel_f1_max",
        "aupro", "false_reject_rate", "recall", "threshold", "good", "defective", "masks",
        "recall_at_1_percent", "recall_at_5_percent",
        "not_judged",
        "left_out", "per_type", "type_accuracy", "type_unknown_rate", "confusion", "region_recall",
        "veto", "segmentation",
        "region_type_accuracy", "false_alarms_per_part", "frame_ms_p50", "frame_ms_p95",
    } == set(data)  # fmt: skip
    assert data["false_alarms_per_part"] == {"good": 0.25, "defective": 0.0}
    assert data["confusion"] == {
        "labels": [EVIL.replace("/", ""), "spot"],
        "predicted": ["spot", TYPES[1], "unknown", "missed"],
        "counts": [[0, 1, 0, 1], [1, 0, 1, 0]],
    }
    row = data["per_type"]["spot"]
    assert set(row) == {"n", "image_auroc", "recall", "auroc", "ap", "f1", "accuracy"}
    assert (row["n"], row["recall"], row["accuracy"]) == (2.0, 1.0, 0.5)
    assert row["f1"] == pytest.approx(2 / 4), "one right, the false reject was called so, too"


def test_a_bundle_without_types_says_null(bundle: Bundle, images: ImageSet) -> None:
    plain = replace(bundle, recipe=bundle.recipe.model_copy(update={"defect_types": ()}))
    data = evaluate(plain, BrightEngine(), images, no_bar).as_json()
    for key in ("type_accuracy", "type_unknown_rate", "confusion", "region_type_accuracy"):
        assert data[key] is None
    assert data["per_type"]["spot"]["auroc"] is None
    assert data["per_type"]["spot"]["image_auroc"] is not None


def test_a_set_of_good_parts_alone_has_only_false_rejects(bundle: Bundle, images: ImageSet):
    good = replace(images, test=tuple(s for s in images.test if s.is_good))
    data = evaluate(bundle, BrightEngine(), good, no_bar).as_json()
    assert data["false_reject_rate"] == 0.25
    assert data["false_alarms_per_part"] == {"good": 0.25, "defective": None}
    for key in (
        "image_auroc",
        "recall",
        "recall_at_1_percent",
        "aupro",
        "region_recall",
        "type_accuracy",
    ):
        assert data[key] is None
    assert data["confusion"]["labels"] == []


def test_what_cannot_be_judged_ends_the_evaluation(bundle: Bundle, images: ImageSet, tmp_path):
    engine = BrightEngine()
    engine.fault = InferenceError("engine: out of memory")
    with pytest.raises(EngineError, match="out of memory"):
        evaluate(bundle, engine, images, no_bar)
    with pytest.raises(DataError, match="no pictures under test"):
        evaluate(bundle, engine, replace(images, test=()), no_bar)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.png: not a picture: expected PNG"):
        evaluate(bundle, engine, replace(images, test=(Sample(broken, "good", "g"),)), no_bar)


@pytest.fixture
def aligned(tmp_path: Path) -> tuple[Geometry, ImageSet]:
    """Two parts that show what was taught, and two that do not: one good, one defective."""
    folder, taught = tmp_path / "parts", part_picture()
    shapes = {"good/a": taught, "spot/b": taught, "good/c": None, "spot/d": None}
    for name, pixels in shapes.items():
        file = folder / "test" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.full_like(taught, 90) if pixels is None else pixels)
    truth = folder / "ground_truth" / "spot"
    truth.mkdir(parents=True)
    for name in ("b", "d"):
        mask = np.zeros(taught.shape[:2], np.uint8)
        mask[20:60, 20:60] = 255
        cv2.imwrite(str(truth / f"{name}_mask.png"), mask)
    found = teach_alignment(taught, (130, 95, 70, 65))
    return Geometry(alignment=found, size_wh=(320, 240)), read_image_set(folder)


def test_a_part_that_is_not_found_counts_as_the_line_says(
    bundle: Bundle, aligned: tuple[Geometry, ImageSet], caplog: pytest.LogCaptureFixture, tmp_path
) -> None:
    geometry, images = aligned
    looking = replace(
        bundle, recipe=bundle.recipe.model_copy(update={"geometry": geometry, "frames": None})
    )
    found = evaluate(looking, BrightEngine(), images, no_bar)
    assert (found.good, found.defective, found.not_judged) == (2, 2, 2)
    verdicts = {part.name: part.inspection.verdict.value for part in found.parts}
    assert (verdicts["good/c.png"], verdicts["spot/d.png"]) == ("undecided", "undecided")
    assert found.false_reject_rate >= 0.5
    assert found.masks == 2, "its defect is one that no region hits"
    assert math.isfinite(found.image_auroc), "the ranking is over the others"
    assert "2 of 4 pictures are not judged" in caplog.text
    assert "good/c.png, spot/d.png: alignment: the template is not found" in caplog.text
    data = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert data["not_judged"] == 2
    page = tmp_path / "page.html"
    write_report(page, found, looking, "s", SetInspector(looking, BrightEngine()), no_bar)
    assert "2 of them could not be judged" in page.read_text()
    none = replace(images, test=tuple(s for s in images.test if s.path.stem in "cd"))
    with pytest.raises(DataError, match=r"none of the 2 .* judged: good/c\.png") as told:
        evaluate(looking, BrightEngine(), none, no_bar)
    assert "\n" not in str(told.value)


class Page(HTMLParser):
    """What a browser would find: tags, attributes and text; raises when tags do not match."""

    VOID = frozenset({"meta", "br", "link", "img", "hr", "input"})

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def text(result: Evaluation, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("report") / "report.html"
    steps: list[int] = []
    judge = named(SetInspector(bundle, BrightEngine()), NAMES)
    write_report(file, result, bundle, f"set {EVIL}", judge, steps.append)
    assert len(steps) == shown(result) == 5
    return file.read_text(encoding="utf-8")


def test_the_page_is_whole_and_needs_nothing_else(text: str) -> None:
    page = Page(text)
    assert len(page.attributes("script")) == 1
    assert not page.attributes("link")
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "data:").startswith(
                ("data:image/jpeg;base64,", "data:")
            )
    assert "url(" not in text
    assert "@import" not in text
    (policy,) = [m["content"] for m in page.attributes("meta") if "http-equiv" in m]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert policy.endswith(f"; script-src 'sha256-{digest}'"), "nothing else runs"
    assert f"<script>{SCRIPT}</script>" in text


def test_labels_cannot_become_markup(text: str) -> None:
    page = Page(text)
    assert text.count("<script") == 1
    assert not page.attributes("b")
    said = "".join(page.said)
    assert f"{EVIL} 1 on set {EVIL}" in said
    assert TYPES[1] in said


def test_everything_seen_is_also_said(text: str) -> None:
    page = Page(text)
    assert page.attributes("html")[0]["lang"] == "en"
    pictures = [a for a in page.attributes("svg") if "aria-hidden" not in a]
    assert len(pictures) == 4 + 2 * 5
    assert all(a["role"] == "img" and a["aria-label"] for a in pictures)
    headings = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3")]
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    assert all(a["scope"] in ("row", "col") for a in page.attributes("th"))


def test_the_figures_are_on_the_page(text: str, bundle: Bundle, result: Evaluation) -> None:
    said = re.sub(r"\s+", " ", " ".join(Page(text).said))
    stated = bundle.thresholds.score
    for expected in (
        "0.8750", "75.0% 3 of 4", "25.0% 1 of 4", "33.3% 1 of 3", bundle.id,
        f"rank {stated.rank} of {stated.n}", f"{stated.bound95:.1%} with 95 % confidence",
        f"AUPRO) {result.aupro:.4f}", "The bundle has no such type",
    ):  # fmt: skip
        assert expected in said, expected
    assert " nan" not in said.lower()
    # The shipped threshold: a quarter of the good rejected, three quarters found, 3 of 4 right.
    marks = [(a["cx"], a["cy"]) for a in Page(text).attributes("circle")]
    assert marks == [("121.5", "70.0"), ("272.5", "70.0")]


def test_pictures_are_small_and_show_region_and_truth(text: str) -> None:
    page = Page(text)
    for attributes in page.attributes("image"):
        assert int(attributes["width"] or 0) <= 320
        assert int(attributes["height"] or 0) <= 320
    # Every rejected part has a box around its square, and a mask an outline three pixels off.
    boxes = [a for a in page.attributes("rect") if a.get("stroke") == "#e69f00"]
    assert len(boxes) == 4
    left, top, width = (float(boxes[0][name] or 0) for name in ("x", "y", "width"))
    assert (left, top, width) == pytest.approx((32 - 2, 64 - 2, 32 + 4), abs=2)
    outlines = [a["d"] or "" for a in page.attributes("path") if a.get("stroke") == "#56b4e9"]
    corner = f"M{32 - 3 + 0.5:g} {64 - 3 + 0.5:g}"
    assert sum(corner in d for d in outlines) == 2 * 3


def test_galleries_show_the_most_telling_first(result: Evaluation) -> None:
    found = {g.title: [round(i.score, 1) for i in g.parts] for g in galleries(result)}
    assert found == {
        "Misses": [0.5],
        "False rejects": [1.5],
        "Wrong names": [2.4, 2.5],  # named wrongly before left unknown
        "Most confident correct ones": [1.6],
    }


def test_misses_rise_and_false_rejects_fall(bundle: Bundle, result: Evaluation) -> None:
    def at(item: EvaluatedPart, score: float) -> EvaluatedPart:
        return replace(item, inspection=replace(item.inspection, score=score))

    (miss,), (reject,) = (gallery.parts for gallery in galleries(result)[:2])
    judged = [at(miss, s) for s in (0.6, 0.3, 0.9)] + [at(reject, s) for s in (1.2, 1.8, 1.5)]
    misses, rejects, *_ = galleries(measure(bundle, judged, result.pixel))
    assert [item.score for item in misses.parts] == [0.3, 0.6, 0.9]
    assert [item.score for item in rejects.parts] == [1.8, 1.5, 1.2]


def test_long_galleries_are_cut_and_types_take_turns(bundle: Bundle, result: Evaluation) -> None:
    found = [i for i in result.parts if i.is_rejected and not i.sample.is_good]
    plain = replace(bundle, recipe=bundle.recipe.model_copy(update={"defect_types": ()}))
    many = measure(plain, found * 5, result.pixel)
    (*_, correct) = galleries(many)
    assert len(correct.parts) == 15
    labels = [item.sample.label for item in correct.parts]
    assert set(labels[:2]) == set(labels[2:4]) == {"spot", EVIL.replace("/", "")}
    assert shown(many) == SHOWN


def test_a_path_that_cannot_be_written_is_refused_early(tmp_path: Path) -> None:
    check_writable(tmp_path / "report.html")
    with pytest.raises(ConfigError, match=r"--report .*: expected a file"):
        check_writable(tmp_path)
    with pytest.raises(ConfigError, match=r"no folder .*missing; make it"):
        check_writable(tmp_path / "missing" / "report.html")


def test_text_is_escaped_unless_it_is_markup() -> None:
    assert fill("<p>{a}{b}</p>", a="<i>", b=Markup("<i>")) == "<p>&lt;i&gt;<i></p>"
    assert fill('<p title="{a}">', a='"{b}') == '<p title="&quot;{b}">'
    assert join(["a&b", Markup("&amp;"), 3], " ") == "a&amp;b &amp; 3"
    Page(table("<caption>", ["<th>"], [["<td>", "<td class=x>"]]))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 0.3, [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]),
        (-0.3, 3.1, [0, 1, 2, 3]),
        (1234, 1239, [1234, 1235, 1236, 1237, 1238, 1239]),
    ],
)
def test_ticks_are_round_and_inside(low: float, high: float, expected: list[float]) -> None:
    assert list(ticks(low, high)) == expected


def points(markup: str, tag: str) -> list[str]:
    return re.findall(rf'<{tag} points="([^"]*)"', markup)


def test_curves_are_drawn_from_corner_to_corner_or_not_at_all() -> None:
    diagonal = np.linspace(0, 1, 5000)
    drawn = curve(np.stack([diagonal, diagonal]), labels=("x", "y"), caption="c")
    (path,) = points(drawn, "polyline")
    steps = path.split()
    assert (steps[0], steps[-1]) == ("46.0,244.0", "348.0,12.0")
    assert len(steps) <= 300
    assert "<circle" not in drawn
    marked = curve(
        np.stack([diagonal, diagonal]), labels=("x", "y"), caption="c", mark_xy=(0.0, 1.0)
    )
    assert 'cx="46.0" cy="12.0"' in marked
    nothing = np.full((2, 3), np.nan)
    assert curve(nothing, labels=("x", "y"), caption="c") == ""
    assert curve(np.zeros((2, 0)), labels=("x", "y"), caption="c") == ""


def test_histograms_take_any_scores() -> None:
    good = np.array([0.1, 0.4, 0.4])
    far = histogram(good, np.array([0.8, 0.9, 1e6]), 0.5, "c")
    bars = [float(height) for height in re.findall(r'<rect [^>]*height="([\d.]+)"', far)]
    # Two thirds of the good ones share a bar; the tail is in the last.
    assert max(bars) == pytest.approx(2 / 3 * 116 / (1.1 * 2 / 3), abs=0.1)
    assert len(bars) == 5
    below = histogram(good + 5, good + 6, 0.5, "c")
    assert len(re.findall("<rect", below)) == 4, "a threshold below all scores hides none"
    for same in (np.array([0.5]), np.zeros(0)):
        Page(histogram(same, same, 0.5, "c"))


def test_the_interval_is_wilsons() -> None:
    assert counted(0.0, 48) == "0 of 48 (0.0% to 7.4%)"
    assert counted(12 / 30, 30) == "12 of 30 (24.6% to 57.7%)"
    assert counted(math.nan, 0) == "none in this set"


@pytest.fixture(scope="module")
def demo_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "demo"
    for kind in ("good", "open", "pinhole"):
        (folder / "test" / kind).mkdir(parents=True)
        for file in sorted((DEMO / "images" / kind).iterdir())[:6]:
            shutil.copy(file, folder / "test" / kind)
    return folder


def test_the_real_bundle_is_measured_as_the_line_judges(demo_set: Path) -> None:
    real = open_bundle(DEMO / "bundle")
    with load_engine(real, EngineSettings(threads=1)) as engine:
        outcome = evaluate(real, engine, read_image_set(demo_set), no_bar)
    assert outcome.image_auroc > 0.9
    assert outcome.per_type["open"]["recall"] == 1.0
    for item in outcome.parts:
        assert item.is_rejected == (item.score > outcome.threshold)
        assert bool(item.inspection.regions) == item.is_rejected
        assert item.overlap is None
        assert overlap(item.inspection.regions, np.zeros((256, 256), bool)).defects == 0


def edge_eval(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from edge.cli.eval import main; main()"]
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, check=False
    )


def test_the_command_writes_page_and_json(demo_set: Path, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    done = edge_eval(DEMO / "bundle", "--data", demo_set, "--json", "--report", page)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["defective"] == 12
    assert "inspecting demo 18/18" in done.stderr
    assert "drawing pictures" in done.stderr
    Page(page.read_text(encoding="utf-8"))
    done = edge_eval(DEMO / "bundle", "--data", demo_set, "--report", tmp_path / "no" / "r.html")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --report")
    assert "inspecting" not in done.stderr
