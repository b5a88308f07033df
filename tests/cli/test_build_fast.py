"""edge-build --fast: options that do not go together end in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edge.cli import build


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--fast"], "give them with --data"),
        (["--data", "parts"], "go with --fast"),
        (["--accept-lower"], "go with --fast"),
    ],
)
def test_options_of_the_fast_form_go_together(
    options: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "bundle"
    monkeypatch.setattr(sys, "argv", ["edge-build", "nowhere", "--out", str(out), *options])
    with pytest.raises(SystemExit) as ended:
        build.main()
    assert ended.value.code == 2
    assert expected in capsys.readouterr().err
    assert not out.exists()
