"""What commands do to a running station, in the words of OPC 40100-1."""

from __future__ import annotations

from collections.abc import Callable

from edge.config.station import CommandName
from edge.mqtt.board import Board
from edge.mqtt.command import Answer, Command
from edge.pipeline.changeover import Changeover, Done


class Control:
    """Carries commands out; every method named after one returns its answer at once.

    `is_running` tells the inspector whether to judge. It is not kept over a restart: whoever starts
    the process wants it to judge.

    Args:
        changeover: exchanges recipes.
        board: holds the alerts.
        on_change: called when the station began or ceased to judge.
        request_stop: ends the process in order.
        finish: gives the outcome of an accepted command: its id, and the answer.
    """

    def __init__(
        self,
        changeover: Changeover,
        board: Board,
        *,
        on_change: Callable[[], None],
        request_stop: Callable[[], None],
        finish: Callable[[str, Answer], None],
    ):
        self._changeover = changeover
        self._board = board
        self._on_change = on_change
        self._request_stop = request_stop
        self._finish = finish
        self.is_running = True
        self.handlers: dict[CommandName, Callable[[Command], Answer]] = {
            "get_state": lambda _: Answer("done", "ok", "the answer holds the state"),
            "prepare_recipe": self.prepare_recipe,
            "unprepare_recipe": self.unprepare_recipe,
            "start_continuous": self.start_continuous,
            "stop": self.stop,
            "halt": self.halt,
            "acknowledge_alert": self.acknowledge_alert,
        }

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
        if self.is_running:
            detail = f"recipe {name} is judging; send stop before, or prepare_recipe with another"
            return Answer("rejected", "wrong_state", detail)
        done = self._report(command.cmd_id, f"recipe {name} is unloaded")
        if not self._changeover.unprepare(done):
            return self._busy()
        return Answer("accepted", "ok", f"unloading recipe {name}")

    def start_continuous(self, _: Command) -> Answer:
        """Judge every frame."""
        if self._changeover.current is None:
            detail = "no recipe is prepared; send prepare_recipe before"
            return Answer("rejected", "wrong_state", detail)
        self.is_running = True
        self._on_change()
        return Answer("done", "ok", "every frame is judged")

    def stop(self, _: Command) -> Answer:
        """Judge no frame until `start_continuous`."""
        self.is_running = False
        self._on_change()
        return Answer("done", "ok", "frames are dropped and counted from now on")

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
