"""Puts together what takes commands: handlers, audit log, memory of ids, dispatcher."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from edge.config.station import StationConfig
from edge.messages.command import Answer, Command
from edge.messages.identity import Identity
from edge.messages.state_board import StateBoard
from edge.outputs.outbox import outbox_path
from edge.station.commands.audit_file import audit_path
from edge.station.commands.audit_log import AuditLog
from edge.station.commands.dispatcher import CommandDispatcher
from edge.station.commands.exposure import exposure
from edge.station.commands.replay_memory import ReplayMemory, replay_memory_path
from edge.station.state_report import StateReport

log = logging.getLogger(__name__)


def warn_if_exposed(config: StationConfig, states: StateBoard) -> None:
    """Raise an alert if strangers could command the station."""
    if warning := exposure(config):
        log.warning("commands are open: %s", warning)
        states.raise_alert("commands_open", "warning", warning)


def open_audit_log(config: StationConfig, folder: Path, states: StateBoard) -> AuditLog:
    """Open a station's audit log below the state folder; one that was cut raises an alert."""
    path = audit_path(folder, config.node, config.station)
    audit = AuditLog(path, config.commands.keep_audit_s)
    if audit.problems:
        more = f"; {len(audit.problems) - 1} more" if len(audit.problems) > 1 else ""
        detail = f"{audit.problems[0]}{more}; run edge-doctor"
        states.raise_alert("audit_log_broken", "error", detail)
    return audit


def open_replay_memory(config: StationConfig, folder: Path, states: StateBoard) -> ReplayMemory:
    """Open a station's record of commands; one that cannot be relied on raises an alert."""
    names = (config.node, config.station)
    return ReplayMemory(
        replay_memory_path(folder, *names),
        is_expected=any(path(folder, *names).exists() for path in (outbox_path, audit_path)),
        limits=config.commands,
        on_problem=lambda line: states.raise_alert("command_record_lost", "warning", line),
    )


def make_dispatcher(
    config: StationConfig,
    identity: Identity,
    states: StateBoard,
    report: StateReport,
    handlers: dict[str, Callable[[Command], Answer]],
    audit: AuditLog,
    memory: ReplayMemory,
) -> CommandDispatcher:
    """Make what takes the commands that the station file allows."""
    return CommandDispatcher(
        identity,
        {name: handlers[name] for name in config.commands.allow},
        limits=config.commands,
        audit=audit,
        memory=memory,
        states=states,
        state=report.state,
        publish=states.answer,
        on_record=report.update,
    )
