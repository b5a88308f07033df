"""A finished run learns reviews, and is written only where nothing is seen to get worse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cameras.simulator.image_set import write_conveyor_set
from edge.dashboard.reviews import Review, Reviews
from edge.data.image_set import Sample, read_image_set
from edge.data.reviews import read_reviews
from edge.errors import TrainingError
from edge.methods.run import read_calibration, read_model, read_record
from edge.methods.update import teacher
from edge.methods.update.fit import IN_DATA, Request, fit_update, without_known
from edge.methods.update.proof import line_of, prove
from edge.training.run_folder import Calibration
from tests.support.bundles import ROOT


def no_bar(_stage: str, _total: int):
    return lambda _done: None


def result(number: int, verdict: str) -> dict:
    return {
        "node": "n", "station": "s", "outbox_id": "o", "seq": number, "product_id": "plates",
        "part": {"id": f"new-{number}"}, "recipe": {"id": "plates", "version": "1"},
        "result": verdict, "views": [{"name": "top", "width": 160, "height": 128}],
    }  # fmt: skip


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plates that nobody has seen."""
    folder = tmp_path_factory.mktemp("fresh") / "plates"
    write_conveyor_set(folder, train_good=6, test_good=6, per_type=2, size_wh=(160, 128), seed=7)
    return folder


@pytest.fixture
def dashboard(fresh: Path, tmp_path: Path) -> Path:
    """Reviews: harmless marks that were rejected, and defects that were confirmed or missed."""
    reviews = Reviews(tmp_path / "dashboard")
    number = 0

    def add(picture: Path, verdict: str, review: Review, mark: bool = False) -> None:
        nonlocal number
        number += 1
        place = reviews.add(result(number, verdict), review)
        pixels = cv2.imread(str(picture))
        if mark:
            cv2.circle(pixels, (50 + 15 * (number % 4), 60), 7, (200, 60, 60), -1)
        cv2.imwrite(str(place / "frame-top.png"), pixels)

    for picture in sorted((fresh / "test" / "good").iterdir())[:4]:
        add(picture, "fail", Review("eve", "false_reject"), mark=True)
    for folder in sorted((fresh / "test").iterdir()):
        if folder.name != "good":
            for picture in sorted(folder.iterdir()):
                add(picture, "fail", Review("eve", "wrong_type", type=folder.name))
    return tmp_path / "dashboard"


def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "PICTURES", 12)


def test_reviews_teach_and_the_proof_is_kept_with_the_run(
    run: Path, plates: Path, dashboard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few(monkeypatch)
    known = Reviews(dashboard).add(result(99, "fail"), Review("eve", "false_reject"))
    (known / "frame-top.png").write_bytes((plates / "test" / "good" / "000.png").read_bytes())
    out = tmp_path / "out"
    fit_update(Request(run, dashboard, (plates,), accept_worse=True), out, no_bar)
    document = json.loads((out / "update.json").read_text())
    assert [len(names) for names in document["left_out"].values()] == [1]
    assert "of parts that --data holds" in document["left_out"]
    assert len(document["reviews"]) == 14
    assert document["trials"]["defects"]["defects"] == 10
    assert document["trials"]["false_rejects"]["pictures"] == 4
    assert document["is_changed"]
    proof = document["proof"]
    assert (proof["good"], proof["defective"], proof["reviews"]) == (10, 20, 14)
    assert proof["after"]["recall_at_5_percent"] >= proof["before"]["recall_at_5_percent"]
    rows = (out / "frozen_test.csv").read_text().splitlines()
    assert rows[0] == "file,label,sha256"
    assert len(rows) == 31
    # It is a run like any other.
    record = read_record(out)
    read_model(out, record)
    assert len(read_calibration(out).scores) == record.data.held_out_images


def test_people_who_disagree_and_parts_that_taught_since_are_left_out_and_named(
    run: Path, plates: Path, fresh: Path, dashboard: Path, tmp_path: Path
) -> None:
    """Two people contradict each other; a part has become a training part, by its id."""
    reviews = Reviews(dashboard)
    first = sorted((fresh / "test" / "good").iterdir())[0]
    torn = result(50, "fail")
    for review in (Review("eve", "false_reject"), Review("bob", "right")):
        place = reviews.add(torn, review)
    cv2.imwrite(str(place / "frame-top.png"), cv2.imread(str(first)))
    group = read_image_set(plates).train[0].group
    retrained = reviews.add(
        result(51, "fail") | {"part": {"id": group}}, Review("eve", "false_reject")
    )
    cv2.imwrite(str(retrained / "frame-top.png"), cv2.imread(str(first)))
    found = read_reviews(dashboard, ["plates"])
    assert found.left_out == {"reviewers disagree": [place.name]}
    assert retrained.name in [each.name for each in found.pictures]
    kept = without_known(found, [read_image_set(plates)])
    assert kept.left_out == {"reviewers disagree": [place.name], IN_DATA: [retrained.name]}
    assert {each.name for each in found.pictures} - {each.name for each in kept.pictures} == {
        retrained.name
    }


def test_reviews_of_retrained_parts_alone_end_in_one_line(
    run: Path, plates: Path, fresh: Path, tmp_path: Path
) -> None:
    group = read_image_set(plates).train[0].group
    place = Reviews(tmp_path / "only").add(
        result(1, "fail") | {"part": {"id": group}}, Review("eve", "false_reject")
    )
    first = sorted((fresh / "test" / "good").iterdir())[0]
    cv2.imwrite(str(place / "frame-top.png"), cv2.imread(str(first)))
    with pytest.raises(TrainingError, match="no review can teach: 1 of parts that --data holds"):
        fit_update(Request(run, tmp_path / "only", (plates,)), tmp_path / "out", no_bar)
    assert not (tmp_path / "out").exists()


def test_what_is_worse_is_refused_in_one_line_and_nothing_is_written(
    run: Path, plates: Path, dashboard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verdicts that were right turn: no recall is allowed to fall so far."""
    few(monkeypatch)
    monkeypatch.setattr("edge.methods.update.proof.TOLERANCE", -2.0)
    out = tmp_path / "out"
    with pytest.raises(TrainingError, match="the update is worse and was not written") as caught:
        fit_update(Request(run, dashboard, (plates,)), out, no_bar)
    assert "\n" not in str(caught.value)
    assert "--accept-worse" in str(caught.value)
    assert not out.exists()


def test_a_verdict_that_was_right_must_stay_so() -> None:
    calibration = Calibration(("a", "b"), ("a", "b"), (0.1, 0.2))
    assert line_of(calibration) == 0.2
    samples = [Sample(Path("x"), "good", "x"), Sample(Path("y"), "dent", "y")]
    scores = np.array([[0.1, 0.1], [0.9, 0.9]])
    same = prove((samples, scores), (samples, scores), (calibration, calibration))
    assert (same.is_worse, same.before.right, same.after.right) == (False, 2, 2)
    turned = prove(
        (samples, scores), (samples, np.array([[0.1, 0.3], [0.1, 0.9]])), (calibration, calibration)
    )
    assert (turned.worse, turned.better, turned.is_worse) == (("x",), ("y",), True)
    fallen = prove(
        (samples, np.array([[0.1, 0.1], [0.9, 0.05]])), ((), np.zeros((0, 2))),
        (calibration, calibration),
    )  # fmt: skip
    assert fallen.is_worse
    untested = prove(((), np.zeros((0, 2))), (samples, scores), (calibration, calibration))
    assert (untested.before.recall_at_5_percent, untested.is_worse) == (None, False)


def edge_train(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.argv[0] = 'edge-train'; from edge.cli.train import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_the_command_says_what_is_missing(run: Path, plates: Path, tmp_path: Path) -> None:
    update = ("--method", "update", "--data", plates, "--out", tmp_path / "out")
    done = edge_train(*update, "--run", run)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "--reviews: --method update learns from reviews" in done.stderr
    done = edge_train(*update, "--run", run, "--reviews", tmp_path / "nowhere")
    assert (done.returncode, "no such folder" in done.stderr) == (10, True), done.stderr
