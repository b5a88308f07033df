"""Labels as people have them: which pictures teach, what is said of others, and false rejects."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cli.train_options import TypesOptions
from edge.cli.train_report import report
from edge.data.image_set import read_image_set
from edge.errors import TrainingError
from edge.methods.inp_former import labelled_defects
from edge.methods.run import read_calibration, read_model, read_record
from edge.methods.types.choosing import choose
from edge.methods.types.fit import Request, fit_types


def no_bar(_stage: str, _total: int):
    return lambda _done: None


@pytest.fixture
def bare(plates: Path, tmp_path: Path) -> Path:
    """The plates without masks."""
    folder = tmp_path / "plates"
    folder.mkdir()
    for name in ("train", "test"):
        (folder / name).symlink_to(plates / name)
    return folder


def rejects(plates: Path, folder: Path) -> Path:
    """Good plates with a harmless mark."""
    folder.mkdir()
    for index, path in enumerate(sorted((plates / "test" / "good").iterdir())[:4]):
        pixels = cv2.imread(str(path))
        cv2.circle(pixels, (50 + 15 * index, 60), 7, (200, 60, 60), -1)
        cv2.imwrite(str(folder / path.name), pixels)
    return folder


def test_defects_without_masks_and_false_rejects_teach_in_one_go(
    run: Path, plates: Path, bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelled_defects, "PICTURES", 12)
    out, marks = tmp_path / "out", rejects(plates, tmp_path / "rejects")
    record = fit_types(Request(run=run, data=(bare,), labelled=2, false_rejects=marks), out, no_bar)
    assert record.types is not None
    assert record.types.probe is not None
    assert record.types.probe.defects == 2 * len(record.types.labels)
    for each in record.types.labels:
        assert (each.with_masks, each.without_masks) == (0, 2)
    assert sum(each.regions for each in record.types.labels) >= 5
    assert record.false_rejects is not None
    assert record.false_rejects.pictures == 4
    again = read_record(out)
    assert again.false_rejects == record.false_rejects
    read_model(out, again)
    assert len(read_calibration(out).scores) == len(read_calibration(run).scores)
    options = TypesOptions(data=(bare,), run=run, false_rejects=marks)
    lines = "\n".join(report(out, "types", options, record))
    assert "0 pictures with masks, 2 without" in lines
    assert "more than --labelled 2" in lines
    assert "from 4 false rejects of 4 parts" in lines


def test_false_rejects_alone_change_the_map_and_no_name(
    run: Path, plates: Path, tmp_path: Path
) -> None:
    good_only = tmp_path / "plates" / "train" / "good"
    good_only.parent.mkdir(parents=True)
    good_only.symlink_to(plates / "train" / "good")
    marks = rejects(plates, tmp_path / "rejects")
    request = Request(run=run, data=(tmp_path / "plates",), false_rejects=marks)
    record = fit_types(request, tmp_path / "out", no_bar)
    assert record.types is None
    assert record.false_rejects is not None
    assert record.false_rejects.is_kept
    assert record.model.branches.memory_rejects > 0
    with pytest.raises(TrainingError, match="no --names-only"):
        fit_types(
            Request(run=run, data=(plates,), false_rejects=marks, names_only=True),
            tmp_path / "names",
            no_bar,
        )


def test_an_empty_mask_is_no_missing_mask(run: Path, plates: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plates"
    shutil.copytree(plates, folder)
    kind = read_image_set(folder).defect_types[0]
    masks = sorted((folder / "ground_truth" / kind).iterdir())
    cv2.imwrite(str(masks[0]), np.zeros((128, 160), np.uint8))
    masks[1].unlink()
    chosen = choose([read_image_set(folder)], read_record(run), 0, seed=0)
    own = [sample for sample in chosen.own if sample.label == kind]
    assert len(own) == 3
    assert sum(sample.mask is None for sample in own) == 1
    assert chosen.passed_over[kind] == ("1 with a mask that is empty or hidden by the geometry",)


def test_pictures_with_masks_come_first(run: Path, plates: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plates"
    shutil.copytree(plates, folder)
    kind = read_image_set(folder).defect_types[0]
    for path in sorted((folder / "ground_truth" / kind).iterdir())[:2]:
        path.unlink()
    record = read_record(run)
    for limit, masks, count in ((2, 2, 2), (3, 2, 3), (0, 2, 4)):
        own = choose([read_image_set(folder)], record, limit, seed=0).own
        of_kind = [sample for sample in own if sample.label == kind]
        assert (sum(s.mask is not None for s in of_kind), len(of_kind)) == (masks, count)
