"""What a run records of its pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

from edge.data.image_set import Sample
from edge.data.record import DataRecord, pictures_digest


def samples(folder: Path) -> list[Sample]:
    folder.mkdir(exist_ok=True)
    for name in ("1.png", "2.png", "m.png"):
        (folder / name).write_bytes(name.encode())
    return [
        Sample(folder / "1.png", "good", "1"),
        Sample(folder / "2.png", "crack", "2", folder / "m.png"),
    ]


def test_a_folder_that_moves_keeps_its_digest(tmp_path: Path) -> None:
    before = pictures_digest(samples(tmp_path / "a"))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert pictures_digest(samples(tmp_path / "b")) == before


def test_contents_masks_groups_labels_and_order_count(tmp_path: Path) -> None:
    one, other = samples(tmp_path / "a")
    seen = {pictures_digest([one, other]), pictures_digest([other, one]), pictures_digest([one])}
    seen.add(pictures_digest([Sample(one.path, "good", "another"), other]))
    seen.add(pictures_digest([Sample(one.path, "hole", "1"), other]))
    (tmp_path / "a" / "m.png").write_bytes(b"n.png")
    seen.add(pictures_digest([one, other]))
    (tmp_path / "a" / "1.png").write_bytes(b"2.png")
    seen.add(pictures_digest([one, other]))
    assert len(seen) == 7


def test_records_from_before_the_digest_are_read() -> None:
    record = DataRecord(
        name="a", train_images=1, train_groups=1, held_out_images=1, held_out_groups=1,
        has_groups=False, frame_wh=(4, 4),
    )  # fmt: skip
    old = record.model_dump(exclude={"pictures_sha256"})
    assert DataRecord.model_validate(old) == record
    assert record.pictures_sha256 is None
