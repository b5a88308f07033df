"""A new bundle takes the place of an old one, and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.errors import ToolchainError
from edge.toolchain.packing.bundle_folder import check_free, swap


def make_bundle(folder: Path, name: str, *files: str) -> Path:
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).write_text(name)
    manifest = {"schema": "edge-infer.bundle/1", "name": name, "files": dict.fromkeys(files, "")}
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


def test_a_bundle_is_replaced(tmp_path: Path) -> None:
    out = make_bundle(tmp_path / "out", "old", "card.md", "gone.txt")
    swap(make_bundle(tmp_path / "new", "new", "card.md"), check_free(out))
    assert sorted(path.name for path in out.iterdir()) == ["bundle.json", "card.md"]
    assert (out / "card.md").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_output_under_a_link_follows_it(tmp_path: Path) -> None:
    real = make_bundle(tmp_path / "disk" / "v1", "old")
    (tmp_path / "current").symlink_to(Path("disk") / "v1")
    for _ in range(2):
        new = make_bundle(tmp_path / "disk" / "new", "new")
        swap(new, check_free(tmp_path / "current"))
        assert (tmp_path / "current").is_symlink()
        assert json.loads((real / "bundle.json").read_text())["name"] == "new"
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["v1"]


@pytest.mark.parametrize("manifest", ["{}", "[]", "not JSON", '{"schema": "of something else"}'])
def test_a_folder_with_a_bundle_json_of_others_is_kept(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "bundle.json").write_text(manifest)
    with pytest.raises(ToolchainError, match="exists and is no bundle"):
        check_free(tmp_path)


def test_files_that_a_person_put_into_a_bundle_are_kept(tmp_path: Path) -> None:
    out = make_bundle(tmp_path / "out", "old", "card.md")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ToolchainError, match=r"notes\.txt is no part of the bundle there"):
        check_free(out)


def test_the_folder_one_is_in_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    for out in (Path(), Path(".."), tmp_path / "in"):
        with pytest.raises(ToolchainError, match="is the folder you are in"):
            check_free(out)
    (tmp_path / "file").touch()
    with pytest.raises(ToolchainError, match="expected a folder, found a file"):
        check_free(tmp_path / "file")
