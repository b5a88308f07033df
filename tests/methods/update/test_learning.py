"""Reviews are judged by what other parts have taught, and the run takes what they gain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edge.data.image_set import Sample, read_image_set
from edge.frame import GOOD
from edge.methods.inp_former.branches import MEMORY
from edge.methods.inp_former.known_maps import place_of
from edge.methods.run import read_model, read_record
from edge.methods.types.map_learning import Ground, read_ground
from edge.methods.update import blending, teacher
from edge.methods.update.blending import worth
from edge.methods.update.learning import learn_reviews
from edge.methods.update.proof import line_of, scores_by
from edge.methods.update.reviewed import reader
from edge.methods.update.teacher import Teacher, cells_of_good_parts


def no_bar(_stage: str, _total: int):
    return lambda _done: None


@pytest.fixture(scope="module")
def ground(run: Path, plates: Path) -> Ground:
    record = read_record(run)
    return read_ground(run, [plates], [read_image_set(plates)], record, read_model(run, record))


@pytest.fixture(scope="module")
def taught_by(ground: Ground) -> Teacher:
    read = reader(ground.detector, ground.shape)
    return Teacher(ground, cells_of_good_parts(ground, read, 0, no_bar), read)


@pytest.fixture(scope="module")
def stained(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Good plates with a harmless blue stain, each elsewhere: the run rejects them."""
    folder = tmp_path_factory.mktemp("stained")
    samples = []
    for number, picture in enumerate(sorted((plates / "test" / GOOD).iterdir())[:6]):
        pixels = cv2.imread(str(picture))
        cv2.circle(pixels, (40 + 15 * number, 40 + 8 * number), 8, (200, 60, 60), -1)
        cv2.imwrite(str(folder / picture.name), pixels)
        samples.append(Sample(folder / picture.name, GOOD, f"stained-{number}"))
    return samples


def defects(plates: Path, count: int) -> list[Sample]:
    kinds = sorted(path for path in (plates / "test").iterdir() if path.name != GOOD)
    return [
        Sample(sorted(kind.iterdir())[number], kind.name, f"{kind.name}-{number}")
        for number in range(count)
        for kind in kinds
    ]


def test_a_review_is_judged_by_other_parts_alone(
    taught_by: Teacher, ground: Ground, plates: Path, stained: list[Sample]
) -> None:
    """One part of each kind: there is no other that could have taught."""
    alike = replace(stained[1], group=stained[0].group)
    samples = [stained[0], alike, defects(plates, 1)[0]]
    with torch.no_grad():
        seen = taught_by.judged_reviews([taught_by.read_reviewed(each) for each in samples])
    place = place_of(ground.detector.branches, MEMORY)
    for index in (0, 1):  # no bank without their part
        assert torch.equal(seen.before.maps[index, :, place], seen.banked.maps[index, :, place])
    assert not seen.new[2].any()  # no direction without its part
    assert seen.new[0].any()


def test_a_false_reject_is_normal_the_next_time(
    taught_by: Teacher, ground: Ground, stained: list[Sample]
) -> None:
    lesson = learn_reviews(taught_by, stained[:4], no_bar)
    assert lesson.learned.is_changed
    assert lesson.learned.rejects is not None
    assert lesson.learned.rejects.score_after < lesson.learned.rejects.score_before
    # By the map alone: how unusual a picture is as a whole does not change.
    before, after = (
        sum(
            float(each.judge(each.branch_maps(taught_by.read(sample))).score.amax())
            for sample in stained[:4]
        )
        for each in (ground.detector, lesson.learned.detector)
    )
    assert after < before


def test_a_direction_that_no_other_review_gains_by_is_not_taken(
    taught_by: Teacher, ground: Ground, plates: Path
) -> None:
    """Plain good parts called defects: each looks like no other one."""
    good = sorted((plates / "test" / GOOD).iterdir())
    samples = [Sample(path, "defect", f"wrong-{n}") for n, path in enumerate(good[:3])]
    lesson = learn_reviews(taught_by, samples, no_bar)
    assert lesson.worth[0.0] >= max(lesson.worth.values())
    assert lesson.share == 0
    assert lesson.learned.detector is ground.detector


def test_reviewed_defects_move_up_where_the_map_is_weak(
    taught_by: Teacher, ground: Ground, plates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blending, "NEAR", 0.0)
    lesson = learn_reviews(taught_by, defects(plates, 3), no_bar)
    unseen = [each for each in defects(plates, 4) if each.group.endswith("-3")]
    detectors = (ground.detector, lesson.learned.detector)
    scores = scores_by(detectors, unseen, ground.shape, lambda _: None)
    lines = [line_of(ground.calibration), line_of(lesson.learned.calibration)]
    before, after = (scores > lines).sum(0)
    assert after >= before


def test_worth_counts_what_is_near_the_threshold() -> None:
    good = np.arange(10, dtype=np.float32)
    kinds = np.array([False, True])
    assert worth(good, np.array([20, -1], np.float32), kinds) == 1
    assert worth(good, np.array([-1, 20], np.float32), kinds) == 0
    # Above nine of ten good parts: half of the way from NEAR to the highest.
    assert worth(good, np.array([8.5, 8.5], np.float32), kinds) == pytest.approx(0.5)


def test_parts_beyond_so_many_are_left_out_in_groups(
    taught_by: Teacher, plates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher, "FOLDS", 1)
    with torch.no_grad():
        pictures = [taught_by.read_reviewed(each) for each in defects(plates, 1)[:3]]
        assert not taught_by.judged_reviews(pictures).new.any()
