"""False rejects: what joins the bank and the probe, and what must not change."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from edge.data.false_rejects import FalseRejects, read_false_rejects
from edge.data.frames import InputShape
from edge.data.products import Products, read_products
from edge.methods.inp_former.branches import MEMORY, POSITION
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.false_rejects import learn_false_rejects, widened
from edge.methods.inp_former.memory_bank import MemoryBank
from edge.methods.run import read_model, read_record
from edge.networks.neighbourhood import Neighbourhood

SHAPE = InputShape((160, 128))


@pytest.fixture
def products(run: Path, plates: Path) -> Products:
    return read_products([plates], read_record(run).training.seed)


@pytest.fixture
def rejects(plates: Path, tmp_path: Path, products: Products) -> FalseRejects:
    """Good plates with a harmless mark of one kind, each somewhere else."""
    folder = tmp_path / "rejects"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for path in sorted((plates / "test" / "good").iterdir())[:8]:
        pixels = cv2.imread(str(path))
        x, y = int(rng.integers(40, 120)), int(rng.integers(40, 90))
        cv2.circle(pixels, (x, y), 7, (200, 60, 60), -1)
        cv2.imwrite(str(folder / path.name), pixels)
    known = (*products.train, *products.held_out)
    return read_false_rejects(folder, [plates], known, None)


def test_others_of_their_kind_fall_and_no_good_part_rises(
    run: Path, products: Products, rejects: FalseRejects
) -> None:
    record = read_record(run)
    detector = read_model(run, record)
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    lesson = learn_false_rejects(
        detector, rejects, products, SHAPE, record.training, lambda _: None
    )
    trial = lesson.trial
    assert trial.is_kept
    assert (trial.pictures, trial.parts) == (8, 8)
    assert trial.score_after < trial.score_before
    assert trial.rejected_after <= trial.rejected_before
    for name, value in detector.state_dict().items():
        assert torch.equal(value, before[name]), "the given detector stays as it is"
    taught = lesson.detector
    bank, old = taught.branches[MEMORY].scorer.bank, detector.branches[MEMORY].scorer.bank
    assert torch.equal(bank[: len(old)], old), "the bank forgets nothing"
    assert len(old) < len(bank) <= len(old) * 9 / 8
    assert taught.settings.branches.memory_rejects == len(bank) - len(old)
    if POSITION in detector.branches:
        mean = taught.branches[POSITION].scorer.mean
        assert torch.equal(mean, detector.branches[POSITION].scorer.mean)
    assert len(lesson.calibration.scores) == len(products.held_out), "they set no threshold"
    again = learn_false_rejects(taught, rejects, products, SHAPE, record.training, lambda _: None)
    assert len(again.detector.branches[MEMORY].scorer.bank) <= len(old) * 9 / 8


def test_a_lesson_that_raises_good_parts_is_left_out(
    run: Path, products: Products, rejects: FalseRejects, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = read_record(run)
    detector: Detector = read_model(run, record)
    monkeypatch.setattr("edge.methods.inp_former.false_rejects.RISE", -10.0)
    lesson = learn_false_rejects(
        detector, rejects, products, SHAPE, record.training, lambda _: None
    )
    assert not lesson.trial.is_kept
    assert lesson.detector is detector


def test_the_farthest_tokens_join_and_near_ones_do_not() -> None:
    axes = F.normalize(torch.eye(6), dim=1)
    bank = MemoryBank(axes[:1].repeat(16, 1), Neighbourhood((2, 3), 1))
    tokens = torch.stack([axes[0], F.normalize(axes[0] + 0.01 * axes[1], dim=0), axes[2], axes[2]])
    wider = widened(bank, tokens, least=0.1, kept=16)
    assert len(wider.bank) == 17, "a repeated token teaches once, near ones never"
    assert torch.equal(wider.bank[16], axes[2])
    full = widened(bank, axes[1:], least=0.1, kept=16)
    assert len(full.bank) == 18, "an eighth of the bank at most"
    assert len(widened(wider, axes[3:4], 0.1, kept=16).bank) == 17, "earlier ones give way"


def test_halves_share_no_part_and_known_pictures_are_left_out(
    plates: Path, products: Products, tmp_path: Path
) -> None:
    folder = tmp_path / "rejects"
    folder.mkdir()
    test = sorted((plates / "test" / "good").iterdir())[:4]
    for path in (*test, products.held_out[0].path):
        shutil.copy(path, folder / path.name)
    shutil.copy(test[0], folder / "copy.png")
    known = (*products.train, *products.held_out)
    found = read_false_rejects(folder, [plates], known, None)
    names = [{sample.path.name for sample in half} for half in found.halves]
    assert products.held_out[0].path.name not in names[0] | names[1]
    assert sorted(names[0] | names[1]) == sorted([*(path.name for path in test), "copy.png"])
    assert any({"copy.png", test[0].name} <= half for half in names)


def test_what_cannot_be_tried_is_refused(plates: Path, tmp_path: Path) -> None:
    from edge.errors import DataError

    with pytest.raises(DataError, match="no such folder"):
        read_false_rejects(tmp_path / "none", [plates], (), None)
    with pytest.raises(DataError, match="move it out"):
        read_false_rejects(plates / "test" / "good", [plates], (), None)
    (tmp_path / "one").mkdir()
    shutil.copy(next((plates / "test" / "good").iterdir()), tmp_path / "one" / "1.png")
    with pytest.raises(DataError, match="two parts at least"):
        read_false_rejects(tmp_path / "one", [plates], (), None)
