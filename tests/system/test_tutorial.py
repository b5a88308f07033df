"""The tutorial works as it is written: its shell blocks, in their order, in an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_blocks_of_the_tutorial_give_a_verdict_for_every_part(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DEMO": str(ROOT / "demo" / "images"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    folder = tmp_path / "first"
    folder.mkdir()
    done = subprocess.run(
        ["sh", "-eu", "-c", "\n".join(blocks)],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr

    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    results = [json.loads(line) for line in lines]
    parts = {str(path.relative_to(folder / "parts/test")) for path in pictures(folder)}
    assert {result["part"]["id"] for result in results} == parts
    assert len(results) == len(parts)
    assert len(list((folder / "pictures").iterdir())) == len(parts)
    verdicts = Counter((result["part"]["label"] == "good", result["result"]) for result in results)
    # Few good parts state no rate, but good ones mostly pass and defects mostly fail.
    assert verdicts[True, "pass"] > verdicts[True, "fail"], verdicts
    assert verdicts[False, "fail"] > verdicts[False, "pass"], verdicts


def pictures(folder: Path) -> list[Path]:
    return sorted((folder / "parts/test").rglob("*.png"))
