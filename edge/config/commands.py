"""The commands that a station knows. This table holds every fact about each of them.

To add a command, add an entry here and a method of the same name to
`edge.station.commands.handlers.CommandHandlers`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import AfterValidator


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """One command.

    Attributes:
        name: in topics, in `commands.allow` of the station file, and of the handler method.
        required: names of the arguments that must be given.
        optional: names of the arguments that may be given.
        is_default: the station takes the command unless its file says otherwise. Only what reads,
            or notes that an alert was seen, is: everything else moves a machine.
        is_change: the command changes something, so the audit log records it.
    """

    name: str
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    is_default: bool = False
    is_change: bool = True

    @property
    def usage(self) -> str:
        """The command as one types it, such as `prepare_recipe recipe=VALUE`."""
        required = (f"{name}=VALUE" for name in sorted(self.required))
        optional = (f"{name}=VALUE (optional)" for name in sorted(self.optional))
        return " ".join((self.name, *required, *optional))

    def argument_problem(self, names: Iterable[str]) -> str | None:
        """Return what is wrong with the argument names of a request, None when they fit."""
        given = set(names)
        if given - self.optional == self.required:
            return None
        return f"expected args {sorted(self.required | self.optional)}, got {sorted(given)}"


_SPECS = (
    CommandSpec("get_state", is_default=True, is_change=False),
    CommandSpec(
        "get_picture",
        required=frozenset({"camera", "frame_id", "capture", "result"}),
        optional=frozenset({"form"}),
        is_default=True,
        is_change=False,
    ),
    CommandSpec("prepare_recipe", required=frozenset({"recipe"})),
    CommandSpec("unprepare_recipe", required=frozenset({"recipe"})),
    CommandSpec("start_single_job", optional=frozenset({"part_id"})),
    # Its result is its record, so that a fast line does not wait for the audit log.
    CommandSpec(
        "trigger", optional=frozenset({"part_id", "barcode", "trigger_id"}), is_change=False
    ),
    CommandSpec("start_continuous"),
    CommandSpec("stop"),
    CommandSpec("abort"),
    CommandSpec("reset"),
    CommandSpec("halt"),
    CommandSpec("set_threshold", required=frozenset({"threshold"})),
    CommandSpec("acknowledge_alert", required=frozenset({"code"}), is_default=True),
)
COMMANDS: Final[Mapping[str, CommandSpec]] = MappingProxyType({spec.name: spec for spec in _SPECS})
DEFAULT_COMMANDS: Final = tuple(spec.name for spec in _SPECS if spec.is_default)


def parse_command_name(value: str) -> str:
    """Accept the name of a command; the error lists all of them and names the nearest."""
    if value in COMMANDS:
        return value
    close = difflib.get_close_matches(value, COMMANDS, n=1, cutoff=0.5)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise ValueError(f"expected one of {', '.join(COMMANDS)}{hint}")


CommandName = Annotated[str, AfterValidator(parse_command_name)]
