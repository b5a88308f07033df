"""Checks commands, has each carried out once, answers it and records it in the audit log."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timezone

from edge.config.commands import COMMANDS
from edge.messages.command import Answer, Command, ack_payload, read_command
from edge.messages.identity import Identity, now
from edge.messages.message import Reply
from edge.messages.payload import Payload
from edge.station.commands.audit_log import AuditLog

log = logging.getLogger(__name__)
REMEMBERED = 1000
_INTERRUPTED = Answer("failed", "interrupted", "the station ended before the command was done")
Handler = Callable[[Command], Answer]


class CommandDispatcher:
    """Takes commands from the publisher's thread; their outcomes may come from any thread.

    A command whose `cmd_id` is known is not carried out again; it gets the answer that it got
    before. This also holds after a restart, as far back as the audit log reaches.

    Args:
        identity: the station that answers.
        handlers: name of each allowed command -> what carries it out. A handler returns at once;
            after the answer `accepted`, the outcome follows by `finish`.
        audit: records the commands that change something.
        state: returns the newest state of the station, which every answer holds. A command may
            be conditional on its `config_revision`.
        publish: sends an answer to the topic of answers and, if given, to the sender's own.
    """

    def __init__(
        self,
        identity: Identity,
        handlers: Mapping[str, Handler],
        *,
        audit: AuditLog,
        state: Callable[[], Payload],
        publish: Callable[[Payload, Reply | None], None],
    ):
        self._identity = identity
        self._handlers = handlers
        self._audit = audit
        self._state = state
        self._publish = publish
        self._lock = threading.RLock()
        self._acks: OrderedDict[str, Payload] = OrderedDict()
        self._open: dict[str, tuple[str, Command, Reply | None]] = {}
        for entry in audit.entries():
            self._recall(entry)

    def take(self, name: str, data: bytes, reply: Reply | None) -> None:
        """Answer the message `data` that arrived as command `name`."""
        with self._lock:
            try:
                command = read_command(data)
            except ValueError as error:
                log.warning("command rejected command=%r: %s", name[:40], error)
                answer = Answer("rejected", "invalid", str(error)[:300])
                self._publish(self._ack(name, None, answer), reply)
                return
            known = self._acks.get(command.cmd_id)
            if known is not None:
                self._publish(known, reply)
                return
            answer = self._carry_out(name, command)
            if answer.status == "accepted":
                self._open[command.cmd_id] = (name, command, reply)
            self._settle(name, command, answer, reply)

    def finish(self, cmd_id: str, answer: Answer) -> None:
        """Give the outcome of an accepted command; does nothing for one that has its outcome."""
        with self._lock:
            pending = self._open.pop(cmd_id, None)
            if pending is not None:
                name, command, reply = pending
                self._settle(name, command, answer, reply)

    def close(self) -> None:
        """Answer what was accepted and will not be done any more."""
        for cmd_id in list(self._open):
            self.finish(cmd_id, Answer("failed", "stopping", "the station is stopping"))

    def _carry_out(self, name: str, command: Command) -> Answer:
        handler = self._handlers.get(name)
        moment = datetime.now(timezone.utc)
        if handler is None:
            detail = f"expected one of {', '.join(self._handlers)}, got {name[:40]}"
            if name in COMMANDS:
                detail += "; commands.allow in the station file decides"
            return Answer("rejected", "not_allowed", detail)
        if command.expires_at <= moment:
            late_s = (moment - command.expires_at).total_seconds()
            detail = f"void {late_s:.1f} s ago by the station's clock; send it again"
            return Answer("expired", "expired", detail)
        expected = command.expect.config_revision
        if expected is not None and expected != (revision := self._state()["config_revision"]):
            detail = f"expected configuration {expected}, the station has {revision}"
            return Answer("rejected", "config_revision", detail)
        problem = COMMANDS[name].argument_problem(command.args)
        if problem is not None:
            return Answer("rejected", "invalid", problem[:300])
        return handler(command)

    def _settle(self, name: str, command: Command, answer: Answer, reply: Reply | None) -> None:
        log.info(
            "command %s command=%s by=%r args=%s cmd_id=%s code=%s %s",
            answer.status, name[:40], command.by, dict(command.args), command.cmd_id, answer.code,
            answer.message,
        )  # fmt: skip
        has_effect = answer.status in ("accepted", "done", "failed")
        if has_effect and COMMANDS[name].is_change:
            self._write_down(name, command, answer)
        ack = self._ack(name, command.cmd_id, answer)
        self._remember(command.cmd_id, ack)
        self._publish(ack, reply)

    def _write_down(self, name: str, command: Command, answer: Answer) -> None:
        entry = {"ts": now(), "command": name, "cmd_id": command.cmd_id, "by": command.by,
                 "args": command.args, **asdict(answer)}  # fmt: skip
        try:
            self._audit.write(entry)
        except OSError as error:  # stopping a line must not depend on room on the disk
            log.error("audit log not written path=%s: %s", self._audit.path, error)  # noqa: TRY400

    def _ack(self, name: str, cmd_id: str | None, answer: Answer) -> Payload:
        return ack_payload(self._identity, name[:40], cmd_id, answer, self._state())

    def _remember(self, cmd_id: str, ack: Payload) -> None:
        self._acks[cmd_id] = ack
        while len(self._acks) > REMEMBERED:
            self._acks.popitem(last=False)

    def _recall(self, entry: Mapping[str, object]) -> None:
        """Remember the answer that an entry of an earlier run tells of."""
        try:
            answer = Answer(entry["status"], entry["code"], str(entry["message"]))  # type: ignore[arg-type]
            name, cmd_id = str(entry["command"]), str(entry["cmd_id"])
        except LookupError:
            return
        if answer.status == "accepted":
            answer = _INTERRUPTED
        self._remember(cmd_id, self._ack(name, cmd_id, answer))
