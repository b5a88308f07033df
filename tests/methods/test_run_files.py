"""A run takes the place of another; nothing else is ever deleted."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from edge.errors import TrainingError
from edge.methods.run_files import check_place, delete_run, in_place_of, put_in_place

OURS = ["model.safetensors", "calibration.json", "log.jsonl", "golden/00_good.png",
        "features/group0.f16", "features/train/ids.u8", "features/key.json", "shots/00_21.png",
        "checkpoint.safetensors.0a1b2c3d.part"]  # fmt: skip
NOT_OURS = ["notes.txt", "golden/part.png", "features/data.csv", "shots/me.png", "train/good/1.png"]


def make_run(folder: Path, text: str = "old") -> Path:
    for name in ("run.yaml", *OURS):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "run.yaml").write_text(f"created_by: edge-inspection 1\nname: {text}\n")
    return folder


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_only_files_of_the_run_go_and_the_others_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run(tmp_path / "run")
    for name in NOT_OURS:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("mine")
    with caplog.at_level(logging.WARNING):
        delete_run(run)
    assert files(run) == set(NOT_OURS)
    assert "kept 5 files that are not of a run" in caplog.text


@pytest.mark.parametrize("record", [None, "name: a run of some other program\n", ""])
def test_a_folder_without_our_record_is_never_emptied(tmp_path: Path, record: str | None) -> None:
    run = make_run(tmp_path / "run")
    (run / "run.yaml").unlink()
    if record is not None:
        (run / "run.yaml").write_text(record)
    before = files(run)
    with pytest.raises(TrainingError, match="is not a run; not deleted"):
        check_place(run, [], fresh=True)
    with pytest.raises(TrainingError, match="is not a run; not deleted"), in_place_of(run):
        pytest.fail("must not begin")
    with pytest.raises(TrainingError, match="is not a run; not deleted"):
        delete_run(run)
    assert files(run) == before


def test_an_old_run_comes_back_when_no_new_one_was_begun(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "notes.txt").write_text("mine")
    before = files(run)

    def begin_and_stop() -> None:
        with in_place_of(run):
            assert files(run / ".previous-run") == before - {"notes.txt"}
            (run / "features").mkdir()
            (run / "features" / "key.json").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin_and_stop()
    assert files(run) == before
    assert (run / "features/key.json").read_text() == "old"


@pytest.mark.parametrize("ends_well", [True, False])
def test_an_old_run_is_gone_once_a_new_one_was_begun(tmp_path: Path, ends_well: bool) -> None:
    run = make_run(tmp_path / "run")
    try:
        with in_place_of(run):
            (run / "run.yaml").write_text("created_by: edge-inspection 2\n")
            if not ends_well:
                raise RuntimeError
    except RuntimeError:
        pass
    assert files(run) == {"run.yaml"}


@pytest.mark.parametrize("fresh", [True, False])
def test_a_run_never_lies_where_its_data_lie(tmp_path: Path, fresh: bool) -> None:
    data = tmp_path / "set" / "data"
    data.mkdir(parents=True)
    make_run(tmp_path / "set")
    for out in (data, tmp_path / "set"):
        with pytest.raises(TrainingError, match=r"holds .*which is to be read"):
            check_place(out, [data], fresh=fresh)
    (tmp_path / "link").symlink_to(data)
    with pytest.raises(TrainingError, match="which is to be read"):
        check_place(tmp_path / "link", [data], fresh=fresh)


def test_a_new_run_starts_in_no_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_text("a picture")
    with pytest.raises(TrainingError, match=r"is not empty and no run \(holiday.jpg\)"):
        check_place(tmp_path, [], fresh=False)
    make_run(tmp_path / "run")
    check_place(tmp_path / "run", [tmp_path / "data"], fresh=False)


def test_a_run_is_moved_through_a_link(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    make_run(place, "old")
    (tmp_path / "out").symlink_to(place)
    new = make_run(tmp_path / "new", "new")
    put_in_place(new, tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert (place / "model.safetensors").read_text() == "new"
