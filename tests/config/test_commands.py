"""The table of commands, and what the station file says about a name that is not in it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from edge.cli.command import EPILOG
from edge.config.commands import COMMANDS, DEFAULT_COMMANDS, CommandSpec
from tests.support.station_file import GOOD, problems


def problem(folder: Path, name: str) -> str:
    (found,) = problems(folder, f"{GOOD}commands: {{allow: [get_state, {name}]}}\n")
    return found


def test_only_what_moves_nothing_is_a_default() -> None:
    assert DEFAULT_COMMANDS == ("get_state", "get_picture", "acknowledge_alert")
    assert [name for name, spec in COMMANDS.items() if not spec.is_change] == [
        "get_state",
        "get_picture",
        "trigger",
    ]
    assert all(name == spec.name for name, spec in COMMANDS.items())


def test_an_unknown_command_is_answered_with_the_nearest_and_the_list(tmp_path: Path) -> None:
    assert problem(tmp_path, "prepare_recipes") == (
        f"6: commands.allow[1]: expected one of {', '.join(COMMANDS)} "
        "(did you mean prepare_recipe?), got 'prepare_recipes'"
    )
    assert problem(tmp_path, "xyz").endswith(f"one of {', '.join(COMMANDS)}, got 'xyz'")
    assert problem(tmp_path, "7").startswith("6: commands.allow[1]: ")


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["a"], None),
        (["a", "b"], None),
        ([], "expected args ['a', 'b'], got []"),
        (["b"], "expected args ['a', 'b'], got ['b']"),
        (["c", "a"], "expected args ['a', 'b'], got ['a', 'c']"),
    ],
)
def test_the_names_of_arguments_are_checked(names: list[str], problem: str | None) -> None:
    spec = CommandSpec("x", required=frozenset({"a"}), optional=frozenset({"b"}))
    assert spec.argument_problem(names) == problem


def test_the_usage_names_every_argument() -> None:
    assert COMMANDS["stop"].usage == "stop"
    assert COMMANDS["prepare_recipe"].usage == "prepare_recipe recipe=VALUE"
    assert COMMANDS["start_single_job"].usage == "start_single_job part_id=VALUE (optional)"


def test_the_examples_of_edge_command_fit_the_table() -> None:
    examples = [shlex.split(line) for line in EPILOG.splitlines() if "edge-command" in line]
    assert len(examples) > 3
    for _, name, *rest in examples:
        names = [word.split("=")[0] for word in rest if "=" in word]
        assert COMMANDS[name].argument_problem(names) is None
