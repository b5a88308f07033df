"""Tables in docs/ stand between two marks, so that a command can renew them and nothing else."""

from __future__ import annotations

from pathlib import Path


def replace_table(path: Path, name: str, text: str) -> None:
    """Put `text` between the marks of `name` in a markdown file."""
    begin, end = (f"<!-- {name}: {side} -->" for side in ("begin", "end"))
    whole = path.read_text(encoding="utf-8")
    if whole.count(begin) != 1 or whole.count(end) != 1:
        raise SystemExit(f"{path}: expected one pair of marks {begin} and {end}")
    before, rest = whole.split(begin)
    _, after = rest.split(end)
    path.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")
