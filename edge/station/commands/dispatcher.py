"""Checks commands, has each carried out once, answers it and records it in the audit log."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from typing import cast

from edge.config.commands import COMMANDS
from edge.config.station import CommandSettings
from edge.messages.command import Answer, Code, Command, Status, ack_payload, read_command
from edge.messages.identity import Identity, now
from edge.messages.message import Reply
from edge.messages.payload import Payload
from edge.messages.state_board import StateBoard
from edge.station.commands.audit_log import AuditLog
from edge.station.commands.replay_memory import INTERRUPTED, ReplayMemory
from edge.station.commands.validity import expiry_s, time_problem, with_expiry

log = logging.getLogger(__name__)
REMEMBERED = 1000
Handler = Callable[[Command], Answer]


class CommandDispatcher:
    """Takes commands from the publisher's thread; their outcomes may come from any thread.

    A command whose `cmd_id` is known is not carried out again; it gets the answer that it got
    before. For commands that change something this also holds after a restart.

    Args:
        identity: the station that answers.
        handlers: name of each allowed command -> what carries it out. A handler returns at once;
            after the answer `accepted`, the outcome follows by `finish`.
        limits: how long a command holds.
        audit: records the commands that change something.
        memory: knows their ids over restarts.
        states: holds the alert that the audit log cannot be written.
        state: returns the newest state of the station, which every answer holds. A command may
            be conditional on its `config_revision`.
        publish: sends an answer to the topic of answers and, if given, to the sender's own.
        on_record: called after the audit log got a record.
    """

    def __init__(
        self,
        identity: Identity,
        handlers: Mapping[str, Handler],
        *,
        limits: CommandSettings,
        audit: AuditLog,
        memory: ReplayMemory,
        states: StateBoard,
        state: Callable[[], Payload],
        publish: Callable[[Payload, Reply | None], None],
        on_record: Callable[[], None] = lambda: None,
    ):
        self._identity = identity
        self._handlers = handlers
        self._limits = limits
        self._audit = audit
        self._memory = memory
        self._states = states
        self._state = state
        self._publish = publish
        self._on_record = on_record
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
            known = self._acks.get(command.cmd_id) or self._recalled(command.cmd_id)
            if known is not None:
                self._publish(known, reply)
                return
            answer = self._refusal(name, command) or self._carry_out(name, command)
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

    def _refusal(self, name: str, command: Command) -> Answer | None:
        """Return why a command is not carried out, None if it is.

        What could hold later is remembered, so that nobody can repeat it then.
        """
        answer = self._problem(name, command)
        if answer is None or answer.status == "expired":
            return answer
        if name in COMMANDS and COMMANDS[name].is_change:
            until_s = expiry_s(command, self._limits)
            self._memory.begin(command.cmd_id, name, until_s, answer)
        return answer

    def _problem(self, name: str, command: Command) -> Answer | None:
        if name not in self._handlers:
            detail = f"expected one of {', '.join(self._handlers)}, got {name[:40]}"
            if name in COMMANDS:
                detail += "; commands.allow in the station file decides"
            return Answer("rejected", "not_allowed", detail)
        if (problem := time_problem(command, datetime.now(timezone.utc), self._limits)) is not None:
            return problem
        is_change = COMMANDS[name].is_change
        if is_change and command.issued_at.timestamp() <= self._memory.unproven_until_s:
            detail = "the station has lost its record of commands and cannot tell this one from an "
            return Answer("expired", "expired", f"{detail}old one; send a new one in a minute")
        expected = command.expect.config_revision
        if expected is not None and expected != (revision := self._state()["config_revision"]):
            detail = f"expected configuration {expected}, the station has {revision}"
            return Answer("rejected", "config_revision", detail)
        wrong = COMMANDS[name].argument_problem(command.args)
        return None if wrong is None else Answer("rejected", "invalid", wrong[:300])

    def _carry_out(self, name: str, command: Command) -> Answer:
        if COMMANDS[name].is_change:
            until_s = expiry_s(command, self._limits)
            if not self._memory.begin(command.cmd_id, name, until_s):
                return Answer(
                    "rejected", "busy", "too many commands at a time; send it again later"
                )
        return self._handlers[name](with_expiry(command, self._limits))

    def _settle(self, name: str, command: Command, answer: Answer, reply: Reply | None) -> None:
        log.info(
            "command %s command=%s by=%r args=%s cmd_id=%s code=%s %s",
            answer.status, name[:40], command.by, dict(command.args), command.cmd_id, answer.code,
            answer.message,
        )  # fmt: skip
        has_effect = answer.status in ("accepted", "done", "failed")
        if has_effect and COMMANDS[name].is_change:
            self._write_down(name, command, answer)
        self._memory.settle(command.cmd_id, answer)
        ack = self._ack(name, command.cmd_id, answer)
        self._remember(command.cmd_id, ack)
        self._publish(ack, reply)

    def _write_down(self, name: str, command: Command, answer: Answer) -> None:
        entry = {"ts": now(), "command": name, "cmd_id": command.cmd_id, "by": command.by,
                 "args": command.args, **asdict(answer)}  # fmt: skip
        try:
            self._audit.write(entry)
        except OSError as error:  # stopping a line must not depend on room on the disk
            problem = f"audit log {self._audit.path} cannot be written: {error.strerror}"
            log.error(problem)  # noqa: TRY400
            self._states.raise_alert("audit_log_unwritten", "error", problem)
        else:
            self._states.clear_alert("audit_log_unwritten")
            self._on_record()

    def _ack(self, name: str, cmd_id: str | None, answer: Answer) -> Payload:
        return ack_payload(self._identity, name[:40], cmd_id, answer, self._state())

    def _remember(self, cmd_id: str, ack: Payload) -> None:
        self._acks[cmd_id] = ack
        while len(self._acks) > REMEMBERED:
            self._acks.popitem(last=False)

    def _recalled(self, cmd_id: str) -> Payload | None:
        taken = self._memory.recall(cmd_id)
        return None if taken is None else self._ack(taken.name, cmd_id, taken.answer)

    def _recall(self, entry: Mapping[str, object]) -> None:
        """Remember the answer that an entry of an earlier run tells of."""
        words = [entry.get(key) for key in ("status", "code", "message", "command", "cmd_id")]
        if not all(isinstance(word, str) for word in words):
            return
        status, code, message, name, cmd_id = cast("list[str]", words)
        answer = Answer(cast("Status", status), cast("Code", code), message)
        if answer.status == "accepted":
            answer = INTERRUPTED
        self._remember(cmd_id, self._ack(name, cmd_id, answer))
