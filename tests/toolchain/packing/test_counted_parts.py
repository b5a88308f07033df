"""A run whose calibration counts parts becomes a bundle that says so, with its operating points."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edge.bundle.conformal import bound_of_parts
from edge.bundle.operating_points import OPERATING_POINTS, read_operating_points
from edge.bundle.store import CARD, open_bundle
from edge.errors import TrainingError
from edge.methods.run import read_calibration
from edge.toolchain.packing.pack import PackOptions, pack_bundle
from edge.training.run_folder import Calibration, write_calibration
from tests.support.bundles import DEMO_BUNDLE


def counted(run: Path, folder: Path) -> tuple[Path, Calibration]:
    """The run with three pictures of each of fourteen parts; the last one is odd."""
    shutil.copytree(run, folder)
    old = read_calibration(run)
    level = sorted(old.scores)[len(old.scores) // 2]
    scores = tuple(level + 0.001 * (i % 13) + (0.5 if i >= 39 else 0) for i in range(42))
    found = Calibration(
        files=tuple(f"{i}.png" for i in range(42)),
        groups=tuple(f"board-{i // 3}" for i in range(42)),
        scores=scores,
        method="cross-conformal",
        synthetic=(("scar", level + 0.1), ("spot", level + 0.2), ("blur", level - 1)),
        labelled=(("scratch", level + 9),),
    )
    write_calibration(folder, found)
    return folder, found


def test_calibrations_are_read_as_they_were_written(run: Path, tmp_path: Path) -> None:
    folder, found = counted(run, tmp_path / "run")
    assert read_calibration(folder) == found
    write_calibration(folder, replace(found, method="by guess"))  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="method: expected one of split-conformal, cross-conf"):
        read_calibration(folder)


def test_a_bundle_counts_parts_and_leaves_named_ones_out(run: Path, tmp_path: Path) -> None:
    folder, found = counted(run, tmp_path / "run")
    without = pack_bundle(
        folder, tmp_path / "some", PackOptions(leave_out=("board-13",)), lambda _: None
    )
    score = without.thresholds.score
    assert (score.method, score.left_out) == ("cross-conformal", ("board-13",))
    assert (score.n, score.groups, score.alpha) == (39, 13, pytest.approx(1 / 14))
    assert without.above[0] == pytest.approx(13)
    assert score.bound95 == bound_of_parts(13, score.alpha)
    assert score.value == max(found.scores[:39])
    assert "without the parts board-13" in (without.folder / CARD).read_text()
    points = read_operating_points(without)
    assert points is not None
    assert (points.synthetic, points.labelled) == (3, 1)
    shipped = next(point for point in points.points if point.alpha == score.alpha)
    assert shipped.threshold == score.value
    assert shipped.recall_synthetic == pytest.approx(2 / 3)
    assert shipped.recall_labelled == 1
    assert points.more_parts[0].parts == 13


def test_bundles_from_before_have_no_operating_points() -> None:
    bundle = open_bundle(DEMO_BUNDLE)
    assert OPERATING_POINTS not in bundle.manifest.files
    assert read_operating_points(bundle) is None
