"""Files that would stall a YAML reader, or that PyYAML and pydantic refuse in ways of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.config import yaml_limits
from edge.config.reader import read_settings
from edge.config.station import StationConfig
from edge.errors import ConfigError
from tests.support.station_file import GOOD

CASES = Path(os.environ.get("EDGE_TEST_DATA", "../shared/data")).parent / "cases" / "inputs"


def problem(folder: Path, text: str | bytes) -> str:
    path = folder / "station.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        read_settings(path, StationConfig, {"folder": folder})
    (line,) = caught.value.problems
    return line.removeprefix(f"{path}:").strip()


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (bomb(8), "expected at most 200000 values"),
        ("a: &a [*a]", "1: an alias contains itself"),
        ("[" * 3000, "expected at most 40 levels of nesting"),
        ("{a: " * 3000, "expected at most 40 levels of nesting"),
        ("\n".join(" " * n + f"k{n}:" for n in range(60)), "expected at most 40 levels"),
        (GOOD + "language: 2001-99-99\n", "6: a value cannot be read: 'month must be in 1..12'"),
        (GOOD + "language: !!timestamp x\n", "6: a value cannot be read"),
        ("? [a, b]\n: c\n", "1: expected a word as a key"),
        (
            GOOD.replace("bundle: bundles/pcb", "bundle: ~nobody-here/x"),
            "no home folder is known for ~nobo",
        ),
        (GOOD + f"archive: {{path: a, max_bytes: {'9' * 400}}}\n", "a size of at most 18 digits"),
        (GOOD + f"mqtt: {{spool: {{max_age_s: {'9' * 400}}}}}\n", "a duration of at most 18 dig"),
        (GOOD.replace("bundle: bundles/pcb", 'bundle: "a\\0b"'), "cannot hold a NUL character"),
        (b"node: \xff\n", "cannot be read as text"),
    ],
    ids=lambda value: None if len(value) > 40 else str(value),
)
def test_one_clear_line(tmp_path: Path, text: str | bytes, expected: str) -> None:
    assert expected in problem(tmp_path, text)


def test_a_file_beyond_the_limit_is_not_read_whole(tmp_path: Path) -> None:
    text = "# " + "x" * yaml_limits.MAX_BYTES
    assert f"at most {yaml_limits.MAX_BYTES} characters" in problem(tmp_path, text)


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    pipe = tmp_path / "station.yaml"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="expected a regular file"):
        read_settings(pipe, StationConfig)


def test_aliases_within_the_limit_are_read(tmp_path: Path) -> None:
    path = tmp_path / "station.yaml"
    path.write_text(GOOD.replace("station: top", "station: &name top") + "recipe: *name\n")
    with pytest.raises(ConfigError, match="recipe names one of recipes"):
        read_settings(path, StationConfig, {"folder": tmp_path})


@pytest.mark.parametrize("case", sorted(CASES.glob("config-*")), ids=lambda path: path.name)
def test_files_that_broke_the_product(tmp_path: Path, case: Path) -> None:
    path = tmp_path / "station.yaml"
    path.write_bytes(case.read_bytes())
    with pytest.raises(ConfigError, match=r"station\.yaml"):
        read_settings(path, StationConfig, {"folder": tmp_path})
