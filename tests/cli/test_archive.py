"""edge-archive as a person types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge.archive.layout import frames_between
from tests.support.archives import part, write_archive
from tests.support.bundles import ROOT


def edge_archive(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.argv[0] = 'edge-archive'; from edge.cli.archive import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    verdicts = ["pass", "pass", "fail", "undecided"]
    write_archive(tmp_path / "kept", [part(n, verdict) for n, verdict in enumerate(verdicts)])
    return tmp_path / "kept"


def test_what_was_written_and_what_was_not_is_told(archive: Path, tmp_path: Path) -> None:
    path = next(frames_between(archive))
    path.with_name(path.name + ".png").unlink()
    done = edge_archive(
        "export", archive, "--out", tmp_path / "set", "--verdict", "pass,fail,undecided"
    )
    assert done.returncode == 0, done.stderr
    assert "set/train/good: 1 pictures" in done.stdout
    assert "set/test/scratch: 1 pictures" in done.stdout
    assert "2 labels are the station's own verdicts" in done.stdout
    assert "left out: 1 undecided or in error" in done.stdout
    assert f"left out: {path.name}: cannot be read" in done.stdout


def test_counts_as_json(archive: Path, tmp_path: Path) -> None:
    done = edge_archive(
        "export", archive, "--out", tmp_path / "set", "--verdict", "pass",
        "--since", "2026-11-21T10:15:03", "--json",
    )  # fmt: skip
    assert json.loads(done.stdout) == {
        "counts": {"train/good": 1}, "by_verdict": 1, "unlabelled": 0, "damaged": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--verdict", "good"], 2, "expected some of pass, fail, undecided, error, got good"),
        (["--since", "soon"], 2, "expected a day such as 2026-05-01"),
        (["--since", "2030-01-01"], 10, "nothing to export"),
    ],
)
def test_a_wrong_option_is_one_line(
    archive: Path, tmp_path: Path, options: list[str], code: int, message: str
) -> None:
    done = edge_archive("export", archive, "--out", tmp_path / "set", *options)
    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_archive_that_is_absent(tmp_path: Path) -> None:
    done = edge_archive("export", tmp_path / "none", "--out", tmp_path / "set")
    assert (done.returncode, done.stderr.count("\n")) == (10, 1)
    assert "no such folder; give the archive.path of a station" in done.stderr
