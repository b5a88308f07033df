"""What each command does to a running station, in the terms of OPC 40100-1."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from edge.config.commands import COMMANDS
from edge.messages.command import Answer, Code, Command
from edge.messages.payload import significant
from edge.messages.state_board import StateBoard
from edge.outputs.archived_pictures import Wanted, read_wanted
from edge.station.commands.jobs import Job, JobControl
from edge.station.recipes.changeover import Changeover, Done
from edge.trigger import Trigger
from edge.triggers.source import NotTaken

_NOT_TAKEN: dict[str, Code] = {
    "not_ready": "not_ready",
    "used": "invalid",
    "not_judging": "wrong_state",
    "stopping": "stopping",
}
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


class CommandHandlers:
    """Carries commands out. There is one public method per command, named after it.

    Each method returns its answer at once. Where that is `accepted`, the outcome goes to `finish`.

    Args:
        changeover: exchanges recipes.
        jobs: starts and ends jobs.
        board: holds the alerts.
        request_picture: has a picture of the archive published; None without an archive.
        request_trigger: announces a part; None where the station file names another trigger.
        retry_camera: tries to open a lost camera now; returns False when none is lost.
        request_stop: ends the process in order.
        finish: takes the id of an accepted command and its outcome.

    Attributes:
        handlers: name of each command -> the method that carries it out.
    """

    def __init__(
        self,
        changeover: Changeover,
        jobs: JobControl,
        board: StateBoard,
        *,
        request_picture: Callable[[Wanted, str], Answer] | None,
        request_trigger: Callable[[Mapping[str, object]], Trigger | NotTaken | None],
        retry_camera: Callable[[], bool],
        request_stop: Callable[[], None],
        finish: Callable[[str, Answer], None],
    ):
        self._changeover = changeover
        self._jobs = jobs
        self._board = board
        self._request_picture = request_picture
        self._request_trigger = request_trigger
        self._retry_camera = retry_camera
        self._request_stop = request_stop
        self._finish = finish
        # A command without its method is a defect that shows at start.
        self.handlers: dict[str, Callable[[Command], Answer]] = {
            name: getattr(self, name) for name in COMMANDS
        }

    def get_state(self, _: Command) -> Answer:
        """Do nothing: every answer holds the state."""
        return Answer("done", "ok", "the answer holds the state")

    def get_picture(self, command: Command) -> Answer:
        """Publish a picture of a judged part from the archive."""
        if self._request_picture is None:
            detail = "the station file has no archive; add one to keep pictures"
            return Answer("rejected", "unknown_picture", detail)
        try:
            wanted = read_wanted(command.args)
        except ValueError as error:
            return Answer("rejected", "invalid", str(error)[:300])
        return self._request_picture(wanted, command.cmd_id)

    def prepare_recipe(self, command: Command) -> Answer:
        """Load a recipe beside the running one and exchange them."""
        name, names = command.args["recipe"], self._changeover.names
        if name not in names:
            detail = f"expected one of {', '.join(names)}, got {name}"
            return Answer("rejected", "unknown_recipe", detail)
        done = self._report(command.cmd_id, f"recipe {name} is active")
        if not self._changeover.prepare(name, command.by, done):
            return self._busy()
        return Answer("accepted", "ok", f"preparing recipe {name}")

    def unprepare_recipe(self, command: Command) -> Answer:
        """Unload the recipe of a stopped station, to free its memory."""
        name, current = command.args["recipe"], self._changeover.current
        if current is None or current.name != name:
            detail = f"expected the prepared recipe, {current.name if current else 'none'}"
            return Answer("rejected", "unknown_recipe", f"{detail}, got {name}")
        if self._jobs.mode != "ready":
            detail = f"recipe {name} is judging; send stop before, or prepare_recipe with another"
            return Answer("rejected", "wrong_state", detail)
        done = self._report(command.cmd_id, f"recipe {name} is unloaded")
        if not self._changeover.unprepare(done):
            return self._busy()
        return Answer("accepted", "ok", f"unloading recipe {name}")

    def start_single_job(self, command: Command) -> Answer:
        """Judge the next part alone, as a trigger by software does."""
        if self._changeover.current is None:
            return self._unprepared()
        if self._changeover.preparing is not None:
            return self._busy()
        job = Job.single(command.cmd_id, command.args.get("part_id"), command.expires_at)
        if self._jobs.start_single(job):
            return Answer("accepted", "ok", "the next part is judged")
        if self._jobs.mode == "continuous_execution":
            return Answer("rejected", "wrong_state", "every frame is judged; send stop before")
        return self._single()

    def trigger(self, command: Command) -> Answer:
        """Announce a part; its result carries the id of the trigger."""
        try:
            outcome = self._request_trigger({"trigger_id": command.cmd_id, **command.args})
        except ValueError as error:
            return Answer("rejected", "invalid", str(error)[:300])
        if outcome is None:
            detail = "the station file has no trigger: software; its parts are not announced so"
            return Answer("rejected", "wrong_state", detail)
        if isinstance(outcome, NotTaken):
            return Answer("rejected", _NOT_TAKEN[outcome.code], outcome.detail)
        return Answer("done", "ok", f"trigger {outcome.id} is taken; its result carries this id")

    def start_continuous(self, command: Command) -> Answer:
        """Judge every frame."""
        if self._changeover.current is None:
            return self._unprepared()
        if self._jobs.start_continuous(command.cmd_id):
            return Answer("done", "ok", "every frame is judged")
        return self._single()

    def stop(self, _: Command) -> Answer:
        """Judge no further frame."""
        self._jobs.stop()
        return Answer("done", "ok", "no frame is judged from now on")

    def abort(self, _: Command) -> Answer:
        """Drop what is under way."""
        dropped = self._jobs.abort("aborted by command")
        return Answer("done", "ok", f"what was under way is dropped, {dropped} waiting frames too")

    def reset(self, _: Command) -> Answer:
        """Go back to ready after an abort or an error; a lost camera is tried at once."""
        is_lost = self._retry_camera()
        if not is_lost and self._jobs.mode != "ready":
            return Answer("rejected", "wrong_state", "it is judging; send stop or abort before")
        self._jobs.abort("reset by command")
        hint = "; the camera is tried again, state tells when it is back" if is_lost else ""
        return Answer("done", "ok", f"nothing is under way{hint}")

    def set_threshold(self, command: Command) -> Answer:
        """Judge by another threshold than the bundle's, until a recipe is prepared."""
        text, current = command.args["threshold"], self._changeover.current
        value = significant(float(text)) if NUMBER.fullmatch(text) else None
        if value is None or not 0 < value < math.inf:
            detail = f"threshold: expected a finite decimal number above 0, got {text}"
            return Answer("rejected", "invalid", detail)
        if current is None:
            return self._unprepared()
        before = significant(current.bundle.thresholds.score.value)
        done = self._report(
            command.cmd_id, f"parts fail above {value} from now on, before above {before}"
        )
        if not self._changeover.set_threshold(value, done):
            return self._busy()
        return Answer("accepted", "ok", f"setting the threshold of recipe {current.name}")

    def halt(self, _: Command) -> Answer:
        """End the process in order."""
        self._request_stop()
        return Answer("done", "ok", "the process ends; its supervisor decides what follows")

    def acknowledge_alert(self, command: Command) -> Answer:
        """Note that somebody has seen an alert; it stays until its cause is gone."""
        code = command.args["code"]
        if self._board.acknowledge_alert(code, command.by):
            return Answer("done", "ok", f"alert {code} is acknowledged")
        return Answer("rejected", "unknown_alert", f"expected an active alert, got {code}")

    def _unprepared(self) -> Answer:
        detail = "no recipe is prepared; send prepare_recipe before"
        return Answer("rejected", "wrong_state", detail)

    def _single(self) -> Answer:
        detail = "a single job is under way; await its result, or send abort"
        return Answer("rejected", "busy", detail)

    def _busy(self) -> Answer:
        if self._changeover.is_stopping:
            return Answer("rejected", "stopping", "the station is stopping")
        return Answer("rejected", "busy", "another recipe is being exchanged; send it again later")

    def _report(self, cmd_id: str, success: str) -> Done:
        def done(problem: str | None) -> None:
            if problem is None:
                answer = Answer("done", "ok", success)
            elif self._changeover.is_stopping:
                answer = Answer("failed", "stopping", problem)
            else:
                answer = Answer("failed", "recipe_failed", problem)
            self._finish(cmd_id, answer)

        return done
