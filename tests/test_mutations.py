"""The table of mutations follows the code: every line that it breaks stands there, once."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_line_to_be_broken_stands_there_once() -> None:
    spec = importlib.util.spec_from_file_location("mutations", ROOT / "scripts" / "mutations.py")
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    found = {(m.file, m.line): (ROOT / "edge" / m.file).read_text().count(m.line)
             for m in table.MUTATIONS}  # fmt: skip
    assert {key: count for key, count in found.items() if count != 1} == {}
