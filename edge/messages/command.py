"""Commands and their answers, as they travel: `edge-infer.cmd/1` and `edge-infer.ack/1`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from edge.messages.identity import Identity, now, rfc3339
from edge.messages.payload import Payload, head
from edge.printable_text import escaped

MAX_BYTES = 16 * 1024
Status = Literal["accepted", "in_progress", "done", "rejected", "failed", "expired"]
Code = Literal[
    "ok",
    "invalid",
    "not_allowed",
    "expired",
    "config_revision",
    "wrong_state",
    "busy",
    "not_ready",
    "unknown_recipe",
    "unknown_alert",
    "unknown_picture",
    "recipe_failed",
    "no_frame",
    "aborted",
    "stopping",
    "interrupted",
]
# RFC 3339. A library would also take numbers, dates alone and moments without a zone.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]


def _is_moment(value: object) -> object:
    if not isinstance(value, datetime) and not (
        isinstance(value, str) and _MOMENT.fullmatch(value)
    ):
        raise ValueError("expected a moment with a zone such as 2026-11-21T10:15:02.114Z")
    return value


# Not strict, since pydantic takes text from a validator for text from Python.
Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_is_moment)]


class Expect(BaseModel):
    """Conditions of a command: it is rejected unless they hold. One we do not know cannot hold."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    config_revision: str | None = None


class Command(BaseModel):
    """A request to a station; its name stands in the topic.

    Attributes:
        cmd_id: chosen by the sender; the same id is the same command, however often it arrives.
        issued_at, expires_at: of the sender's clock; from `expires_at` the command is void. Without
            it the command has the longest lifetime that the station grants.
        by: who asks, for the log.
        args: what the command needs.
    """

    # Unknown keys are from a newer sender; arguments are checked by name where they are used.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    schema_: Literal["edge-infer.cmd/1"] = Field(alias="schema")
    cmd_id: Annotated[str, Field(pattern=r"^[!-~]{1,128}$")]
    issued_at: Moment
    expires_at: Moment | None = None
    by: Line
    args: dict[Line, Line] = Field(default_factory=dict)
    expect: Expect = Expect()


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a command: `code` is for machines, `message` one line for people."""

    status: Status
    code: Code = "ok"
    message: str = ""


def read_command(data: bytes) -> Command:
    """Read a request.

    Raises:
        ValueError: one line saying what is wrong with it.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES} bytes, got {len(data)}")
    try:
        return Command.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = escaped(".".join(str(part) for part in first["loc"]))
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None


def command_payload(
    cmd_id: str,
    by: str,
    args: Mapping[str, str],
    *,
    lifetime_s: float,
    expect: Mapping[str, str] | None = None,
) -> Payload:
    """Ask something of a station; the request is void after `lifetime_s`."""
    issued = datetime.now(timezone.utc)
    return {
        "schema": "edge-infer.cmd/1",
        "cmd_id": cmd_id,
        "issued_at": rfc3339(issued),
        "expires_at": rfc3339(issued + timedelta(seconds=lifetime_s)),
        "by": by,
        "args": dict(args),
        "expect": dict(expect or {}),
    }


def ack_payload(
    identity: Identity, name: str, cmd_id: str | None, answer: Answer, state: Payload
) -> Payload:
    """Answer the command `name`; `state` is the newest state of the station."""
    return {
        **head("ack", identity),
        "ts": now(),
        "command": name,
        "cmd_id": cmd_id,
        "status": answer.status,
        "code": answer.code,
        "message": answer.message,
        "state": state,
    }
