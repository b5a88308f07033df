"""When a command holds: between its `issued_at` and `expires_at`, and never for long.

A command that was recorded must not be of use later, so its lifetime is capped, whatever it says.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from edge.config.station import CommandSettings
from edge.messages.command import Answer, Command


def time_problem(command: Command, moment: datetime, limits: CommandSettings) -> Answer | None:
    """Return why the command does not hold at `moment` (by the station's clock), None if it does.

    Only differences are computed: they exist for every date, also at the ends of the calendar.
    """
    longest_s = limits.max_lifetime_s
    age_s = (moment - command.issued_at).total_seconds()
    if command.expires_at is not None:
        late_s = (moment - command.expires_at).total_seconds()
        if late_s >= 0:
            return _expired(f"void {late_s:.1f} s ago by the station's clock; send it again")
        lifetime_s = (command.expires_at - command.issued_at).total_seconds()
        if not 0 < lifetime_s <= longest_s:
            return _invalid(
                f"expected expires_at within {longest_s:g} s after issued_at, got {lifetime_s:.0f} "
                f"s; commands.max_lifetime_s in the station file decides"
            )
    if age_s < -limits.clock_tolerance_s:
        return _invalid(
            f"issued {-age_s:.1f} s in the future by the station's clock, expected at most "
            f"{limits.clock_tolerance_s:g} s; set the clocks"
        )
    if age_s >= longest_s:
        return _expired(f"issued {age_s:.1f} s ago, it holds for {longest_s:g} s; send it again")
    return None


def expiry_s(command: Command, limits: CommandSettings) -> float:
    """Return from when on the command cannot hold any more, in seconds since 1970."""
    issued_s = (command.issued_at - _EPOCH).total_seconds()
    return issued_s + limits.max_lifetime_s


def with_expiry(command: Command, limits: CommandSettings) -> Command:
    """Return a command that holds now with the longest lifetime if it names no expiry."""
    if command.expires_at is not None:
        return command
    until = command.issued_at + timedelta(seconds=limits.max_lifetime_s)
    return command.model_copy(update={"expires_at": until})


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _expired(detail: str) -> Answer:
    return Answer("expired", "expired", detail)


def _invalid(detail: str) -> Answer:
    return Answer("rejected", "invalid", detail)
