"""The handlers and the table of commands agree."""

from __future__ import annotations

import inspect

from edge.config.commands import COMMANDS
from edge.station.commands.handlers import CommandHandlers


def test_every_command_of_the_table_has_a_handler_and_no_handler_is_left_over() -> None:
    methods = inspect.getmembers(CommandHandlers, inspect.isfunction)
    assert {name for name, _ in methods if not name.startswith("_")} == set(COMMANDS)
