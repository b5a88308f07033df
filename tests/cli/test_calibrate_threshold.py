"""edge-calibrate threshold on the demo's bundle: a new version from a folder and from a camera."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edge.bundle.recalibration import read_recalibration
from edge.bundle.store import open_bundle
from edge.cli.calibration_parts import read_rate
from edge.errors import ConfigError
from edge.evaluation.recalibration.new_version import next_version
from tests.cli.test_calibrate import calibrate
from tests.support.any_frame_bundle import PACKAGED_BUNDLE
from tests.support.bundles import ROOT

IMAGES = ROOT / "demo" / "images"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    for kind, count in (("good", 24), ("spur", 4)):
        (folder / "test" / kind).mkdir(parents=True)
        for path in sorted((IMAGES / kind).glob("*.png"))[:count]:
            shutil.copy(path, folder / "test" / kind)
    return folder


def test_a_new_version_has_the_threshold_and_its_evidence(parts: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "new", tmp_path / "scores.html"
    before = open_bundle(PACKAGED_BUNDLE)
    done = calibrate(
        "threshold", PACKAGED_BUNDLE, "--data", parts, "--rate", "10%", "--out", out,
        "--report", page, "--by", "Quality, plant 4",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "10.00% false rejects need 9 good parts at least" in done.stdout
    assert "there are 24 (24 pictures)" in done.stdout
    assert "<- threshold" in done.stdout
    assert "of 4 labelled defects" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("next: edge-infer STATION.yaml --bundle ")
    assert "<svg" in page.read_text()

    made = open_bundle(out)
    made.test_pictures()
    record = read_recalibration(made)
    assert record is not None
    assert (record.by, record.source, record.parts) == ("Quality, plant 4", "folder", 24)
    assert record.before == before.id
    assert record.threshold_before == before.thresholds.score.value
    assert record.misses is not None
    assert record.misses.defects == 4
    assert made.thresholds.score.method == "fresh-parts"
    assert len(made.scores) == 24
    assert made.manifest.version == next_version(before.manifest.version)
    assert "Threshold set anew" in (out / "card.md").read_text()
    assert open_bundle(PACKAGED_BUNDLE).id == before.id

    again = calibrate("threshold", PACKAGED_BUNDLE, "--data", parts, "--rate", "10%", "--out", out)
    assert again.returncode == 10
    assert "is there already" in again.stderr


def test_parts_before_a_camera_set_it(parts: Path, tmp_path: Path) -> None:
    out = tmp_path / "new"
    camera = f"file://{parts}/test/good"
    done = calibrate(
        "threshold", PACKAGED_BUNDLE, "--camera", camera, "--count", 12, "--rate", "0.1",
        "--out", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "show 12 good parts to the camera" in done.stdout
    record = read_recalibration(open_bundle(out))
    assert record is not None
    assert (record.source, record.parts) == ("camera", 12)


def test_too_few_parts_write_nothing(parts: Path, tmp_path: Path) -> None:
    out = tmp_path / "new"
    done = calibrate("threshold", PACKAGED_BUNDLE, "--data", parts, "--rate", "1%", "--out", out)
    assert done.returncode == 10
    assert "expected at least 99 good parts, found 24" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), "expected one of --data, --archive and --camera"),
        (("--data", "d", "--camera", "c"), "expected one of"),
        (("--data", "d", "--all-good"), "go with --archive"),
        (("--data", "d", "--count", "3"), "goes with --camera"),
    ],
)
def test_options_that_contradict(given: tuple[str, ...], words: str, tmp_path: Path) -> None:
    done = calibrate("threshold", "b", "--rate", "1%", "--out", tmp_path / "new", *given)
    assert done.returncode == 2
    assert words in done.stderr


def test_rates_and_versions_as_people_write_them() -> None:
    assert (read_rate("1%"), read_rate("0.01"), read_rate(" 0.5 %")) == (0.01, 0.01, 0.005)
    for text in ("0", "60%", "x", "nan"):
        with pytest.raises(ConfigError, match="--rate"):
            read_rate(text)
    assert [next_version(text) for text in ("1", "2.9", "a")] == ["2", "2.10", "a.1"]


def test_the_record_is_a_file_of_the_bundle_that_cannot_be_altered(
    parts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new"
    camera = f"file://{parts}/test/good"
    calibrate(
        "threshold", PACKAGED_BUNDLE, "--camera", camera, "--count", 4, "--rate", "20%",
        "--out", out,
    )  # fmt: skip
    path = out / "calibration" / "recalibration.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "by": "somebody else"}))
    with pytest.raises(Exception, match=r"recalibration\.json"):
        open_bundle(out)
