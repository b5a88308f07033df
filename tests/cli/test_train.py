"""edge-train looks at --out before it trains for minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.cli.train import main
from tests.support.in_process import Done, run_here

METHODS = (["inp-former"], ["promptmad"], ["types", "--run", "run"])


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def edge_train(*arguments: str) -> Done:
    return run_here(main, "edge-train", *arguments)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method[0])
def test_a_run_folder_that_cannot_be_made_is_told_before_anything_is_read(
    tmp_path: Path, method: list[str]
) -> None:
    (tmp_path / "file").write_text("kept")
    for out in ("file", "file/run"):
        arguments = ("--method", *method, "--data", "no-such-data", "--out", out)
        done = edge_train(*arguments)
        assert done.returncode == 10
        assert f"error: --out {out}: expected a folder, " in done.stderr
        assert done.stderr.endswith("file is a file; choose another\n")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_mistake_in_other_options_leaves_no_folder_behind(tmp_path: Path) -> None:
    done = edge_train("--data", "no-such-data", "--out", "run")
    assert done.stderr == "error: --data no-such-data: no such folder\n"
    assert not (tmp_path / "run").exists()


def test_fresh_deletes_nothing_that_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "1.png").write_text("a picture")
    done = edge_train("--data", "parts", "--out", "parts", "--fresh")
    assert (done.returncode, done.stderr) == (10, "error: --out parts: is not a run; not deleted\n")
    assert (tmp_path / "parts" / "1.png").exists()


@pytest.mark.parametrize(
    ("method", "text", "code", "problem"),
    [
        ("inp-former", "rotate: 45\n", 2, "g.yaml:1: rotate: input should be 0, 90, 180 or 270"),
        ("promptmad", None, 2, "g.yaml: no such file"),
        ("mavis", "ignore:\n- file: gone.png\n", 2, "gone.png: cannot be read"),
        ("types", "rotate: 90\n", 2, "--geometry: expected with --method inp-former or "),
    ],
)
def test_a_geometry_file_with_a_mistake_is_told_in_one_line(
    tmp_path: Path, method: str, text: str | None, code: int, problem: str
) -> None:
    if text is not None:
        (tmp_path / "g.yaml").write_text(text)
    arguments = ("--method", method, "--data", "no-such-data", "--geometry", "g.yaml", "--out", "r")
    done = edge_train(*arguments)
    assert done.returncode == code, done.stderr
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
