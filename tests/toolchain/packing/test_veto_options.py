"""edge-build's options for the veto: refused where they make no sense, written where they do."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import ToolchainError
from edge.toolchain.packing.pack import PackOptions, pack_bundle


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"veto_passes": True}, "--veto-passes: goes with --veto-above"),
        ({"veto_above": 1.5}, "expected a probability between 0 and 1, got 1.5"),
        ({"veto_above": 0.9}, "the run names no types"),
    ],
)
def test_a_veto_that_cannot_work_is_refused(
    run: Path, tmp_path: Path, options: dict, problem: str
) -> None:
    with pytest.raises(ToolchainError, match=problem):
        pack_bundle(run, tmp_path / "bundle", PackOptions(**options), lambda _: None)
    assert not (tmp_path / "bundle").exists()
