"""Reviews as the dashboard writes them become labelled pictures, or are left out and named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.archive.layout import frames_between
from edge.dashboard.reviews import Review, Reviews
from edge.data.masks import read_mask_file
from edge.data.reviews import ReviewSet, read_reviews
from edge.errors import DataError
from tests.support.archives import part, record, write_archive

PRODUCT = "housing-42"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    write_archive(tmp_path / "archive", [part(1), part(2), part(3, "pass")])
    return tmp_path / "archive"


def results(archive: Path) -> list[dict]:
    return [record(frame)["result"] for frame in frames_between(archive)]


def read(tmp_path: Path, archive: Path | None = None, product: str = PRODUCT) -> ReviewSet:
    return read_reviews(tmp_path / "dashboard", [product], archive)


def test_what_people_say_becomes_labels_and_frames_come_from_the_archive(
    tmp_path: Path, archive: Path
) -> None:
    first, second, third = results(archive)
    reviews = Reviews(tmp_path / "dashboard")
    reviews.add(first, Review("eve", "false_reject"))
    reviews.add(second, Review("eve", "right"))
    square = ((1000.0, 500.0), (1500.0, 500.0), (1500.0, 900.0), (1000.0, 900.0))
    reviews.add(third, Review("eve", "missed", type="dent", polygon_xy=square, camera="top"))
    found = read(tmp_path, archive)
    assert not found.left_out
    said = [(one.label, one.part, one.verdict, one.was_right) for one in found.pictures]
    assert said == [
        ("good", "p-1", "fail", False),
        ("scratch", "p-2", "fail", True),
        ("dent", "p-3", "pass", False),
    ]
    assert {one.picture.parent.parent.parent for one in found.pictures} == {archive}
    # The picture is a smaller copy of the 2448x2048 frame that the drawing is of.
    mask = found.pictures[2].write_mask(tmp_path / "mask.png")
    assert mask is not None
    ys, xs = np.nonzero(read_mask_file(mask))
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (26, 39, 12, 21)
    assert found.pictures[0].write_mask(tmp_path / "none.png") is None


def test_without_an_archive_the_raw_picture_counts_and_a_thumbnail_does_not(
    tmp_path: Path, archive: Path
) -> None:
    first, second, _ = results(archive)
    reviews = Reviews(tmp_path / "dashboard")
    for result, suffix in ((first, "-raw.jpg"), (second, "-thumbnail.jpg")):
        place = reviews.add(result, Review("eve", "false_reject"))
        cv2.imwrite(str(place / f"frame-top{suffix}"), np.zeros((48, 64, 3), np.uint8))
    found = read(tmp_path)
    assert [one.part for one in found.pictures] == ["p-1"]
    assert [len(names) for names in found.left_out.values()] == [1]
    assert list(found.left_out) == ["without a picture"]


def test_a_damaged_frame_of_the_archive_is_not_taken(tmp_path: Path, archive: Path) -> None:
    first = results(archive)[0]
    Reviews(tmp_path / "dashboard").add(first, Review("eve", "false_reject"))
    frame = next(frames_between(archive))
    frame.with_name(frame.name + ".png").write_bytes(b"another picture")
    assert list(read(tmp_path, archive).left_out) == ["without a picture"]


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ((("a", "false_reject", ""), ("b", "right", "")), None),
        ((("a", "missed", "dent"), ("b", "missed", "crack")), None),
        ((("a", "false_reject", ""), ("b", "right", ""), ("c", "false_reject", "")), "good"),
        ((("a", "wrong_type", "dent"), ("b", "wrong_type", "")), "dent"),
    ],
)
def test_the_majority_counts_and_a_draw_is_left_out(
    tmp_path: Path, archive: Path, said: tuple, label: str | None
) -> None:
    reviews = Reviews(tmp_path / "dashboard")
    for name, judgement, kind in said:
        reviews.add(results(archive)[0], Review(name, judgement, type=kind))
    found = read(tmp_path, archive)
    assert [one.label for one in found.pictures] == ([label] if label else [])
    assert list(found.left_out) == ([] if label else ["reviewers disagree"])


def test_other_products_damage_and_other_recipes(tmp_path: Path, archive: Path) -> None:
    first, second, third = results(archive)
    reviews = Reviews(tmp_path / "dashboard")
    reviews.add(first, Review("eve", "false_reject"))
    reviews.add(second | {"product_id": "lid"}, Review("eve", "false_reject"))
    # Another version judged it; what the part is stays true.
    reviews.add(third | {"recipe": {"id": "r", "version": "9"}}, Review("eve", "missed"))
    broken = tmp_path / "dashboard" / "reviews" / PRODUCT / "broken"
    broken.mkdir()
    (broken / "result.json").write_text("[")
    found = read(tmp_path, archive)
    assert [one.label for one in found.pictures] == ["good", "defect"]
    assert {one.recipe for one in found.pictures} == {"housing-42-top 14", "r 9"}
    assert sorted(found.left_out) == ["damaged", "of another product"]
    with pytest.raises(DataError, match="expected reviews of cup, found those of"):
        read(tmp_path, product="cup")
    with pytest.raises(DataError, match=r"--archive .*no such folder"):
        read(tmp_path, tmp_path / "nowhere")
    shutil.rmtree(tmp_path / "dashboard")
    with pytest.raises(DataError, match="no such folder"):
        read(tmp_path)


def test_a_review_that_makes_no_sense_is_not_read(tmp_path: Path, archive: Path) -> None:
    place = Reviews(tmp_path / "dashboard").add(results(archive)[0], Review("eve", "false_reject"))
    path = place / "review-eve.json"
    sound = json.loads(path.read_text())
    for wrong in ({"judgement": "maybe"}, {"polygon": [[1, "x"]]}, {"polygon": 3}, {"type": None}):
        path.write_text(json.dumps(sound | wrong))
        assert list(read(tmp_path, archive).left_out) == ["damaged"]
