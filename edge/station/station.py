"""One station at work: camera -> mailbox -> inspector -> sinks and outbox -> broker.

Threads: capture, inspector, writer of the outbox, publisher, one per slow sink, and one while a
recipe is exchanged. The caller's thread only watches, so that a signal is heard whatever else is
stuck.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from edge import __version__
from edge.config.station import StationConfig
from edge.drop_counts import DropCounts
from edge.messages.command import Answer
from edge.messages.identity import Identity, uuid7
from edge.messages.payload import Payload
from edge.messages.state_board import StateBoard
from edge.mqtt.embedded_broker import EmbeddedBroker
from edge.mqtt.publisher import Publisher
from edge.outputs.dispatcher import ResultDispatcher
from edge.outputs.outbox import Outbox, outbox_path
from edge.outputs.statistics import Statistics, Summary
from edge.paths import find_run_dir
from edge.state_folder import prepare_state_folder
from edge.station import outputs
from edge.station.acquisition import acquire
from edge.station.commands import control
from edge.station.commands.handlers import CommandHandlers
from edge.station.commands.jobs import JobControl
from edge.station.heartbeat import Heartbeat
from edge.station.host import host_numbers
from edge.station.inspection_loop import InspectionLoop
from edge.station.recipes.changeover import Changeover
from edge.station.recipes.recipes import Recipes
from edge.station.recipes.selected_recipe import SelectedRecipe, selected_recipe_path
from edge.station.state_report import StateReport

log = logging.getLogger(__name__)
WATCH_S = 0.2
# A stop on request is over within two seconds; a finished folder may take longer to deliver.
STOP_S = 1.6
FINISH_S = 15.0


class Station:
    """Builds a station from its configuration and runs it once.

    Everything that is wrong at start raises; once running, a part that cannot be judged becomes a
    result of its own, a lost camera or broker is awaited, and only defects of the process end it.

    Args:
        config: the station.
        state_dir: folder of the outbox, the audit log and the selected recipe.
        on_result: gets every numbered result after it is stored, in a thread of its own. While it
            blocks, up to a thousand results wait; then they are dropped for it alone, and counted.
        max_frames: stop after so many parts; None runs until the source ends or `request_stop`.

    Raises:
        EdgeError: bundle, engine, outbox or broker cannot be used.
    """

    def __init__(
        self,
        config: StationConfig,
        state_dir: Path,
        *,
        on_result: Callable[[Payload], None] | None = None,
        max_frames: int | None = None,
    ):
        self._config = config
        self._state_dir = state_dir
        self._on_result = on_result
        self._max_frames = max_frames
        self._stop = threading.Event()
        self._is_requested = False
        self._error: BaseException | None = None
        self.statistics = Statistics()
        self.drops = DropCounts()
        self.stuck: list[str] = []
        self._cleanup = ExitStack()
        try:
            self._build()
        except BaseException:
            self._cleanup.close()
            raise

    def _build(self) -> None:
        config = self._config
        prepare_state_folder(self._state_dir)
        if config.mqtt.broker == "embedded":
            # First: whoever watches can subscribe while the engine loads, and misses no result.
            broker = EmbeddedBroker(config.mqtt.host, config.mqtt.port)
            self._cleanup.callback(broker.stop)
            broker.start()
        cameras = acquire.make_sources(config)  # first: wrong addresses show before engines load
        self._mailbox = acquire.acquisition_mailbox(config, self.drops)
        self._build_control()
        self._build_outputs()
        self._loop = InspectionLoop(
            self._mailbox,
            self._changeover,
            self._jobs,
            self.drops,
            self._results,
            is_live=acquire.takes_as_they_come(config),
            triggers=self._triggers,
        )
        self._capture = acquire.make_capture(
            config,
            cameras,
            self._triggers,
            self._mailbox,
            self.drops,
            on_refused=self._loop.refused,
            on_change=self._report.camera_changed,
        )
        self._cleanup.callback(self._capture.stop)
        self._heartbeat = Heartbeat(find_run_dir(), config.node, config.station)
        self._inspector = threading.Thread(target=self._inspect, name="inspector", daemon=True)

    def _build_outputs(self) -> None:
        """Open the outbox, and make everything that results go to."""
        config = self._config
        publishes = config.mqtt.broker != "none"
        path = outbox_path(self._state_dir, config.node, config.station)
        self._outbox = Outbox(path, config.mqtt.spool, keep=publishes)
        self._cleanup.callback(self._outbox.close)
        self._report.numbering(self._outbox.continuity)
        self._outbox.on_break = lambda: self._report.numbering(self._outbox.continuity)
        self._publisher: Publisher | None = None
        if publishes:
            self._publisher = Publisher(
                config.mqtt,
                self._identity,
                self._outbox,
                self._states,
                version=__version__,
                on_command=self._commands.take if config.commands.allow else None,
                on_delivery=self._report.delivery_changed,
            )
        sinks = outputs.make_sinks(
            config,
            self.drops,
            self.statistics,
            self._publisher,
            states=self._states,
            finish=self._finish,
            on_result=self._on_result,
            describe_camera=self._report.camera_says,
            identity=self._identity,
            pictures=self._pictures,
        )
        describe = outputs.payload_maker(config, self._identity)
        self._results = ResultDispatcher(sinks, self._outbox, describe, self.drops)

    def _build_control(self) -> None:
        """Load the recipe, and make what commands act on and what tells of it."""
        config, folder = self._config, self._state_dir
        self._identity = Identity(config.node, config.station, uuid7())
        self._states = StateBoard(self._identity)
        control.warn_if_exposed(config, self._states)
        recipes = Recipes(config)
        path = selected_recipe_path(folder, config.node, config.station)
        selected = SelectedRecipe(path, recipes.first, recipes.all)

        def update() -> None:
            self._report.update()

        self._changeover = Changeover(recipes, selected, update)
        self._cleanup.callback(self._changeover.close)
        self._jobs = JobControl(
            self._mailbox,
            self.drops,
            on_change=update,
            finish=self._finish,
            on_dropped=lambda frames: self._loop.dropped(frames),  # noqa: PLW0108 - made later
        )
        self._triggers = acquire.make_trigger_queue(config, self._changeover, self._jobs)
        self._pictures = outputs.archived_pictures(
            config, self._identity, self._states, self.drops, self._finish
        )
        handlers = CommandHandlers(
            self._changeover,
            self._jobs,
            self._states,
            request_picture=self._pictures.send if self._pictures else None,
            request_trigger=lambda wanted: acquire.request_trigger(self._capture, wanted),
            retry_camera=lambda: self._capture.retry(),  # noqa: PLW0108 - made later
            request_stop=self.request_stop,
            finish=self._finish,
        )
        audit = control.open_audit_log(config, folder, self._states)
        memory = control.open_replay_memory(config, folder, self._states)
        self._cleanup.callback(memory.close)
        self._report = StateReport(
            config, self._identity, self._states, self._changeover, self._jobs, audit
        )
        self._report.update()
        self._commands = control.make_dispatcher(
            config, self._identity, self._states, self._report, handlers.handlers, audit, memory
        )

    def run(self) -> Summary:
        """Run until the source ends, `max_frames` is reached or a stop is requested.

        Raises:
            CameraError: the camera is absent at start.
            EngineError: too many inferences failed in a row.
            PublishError: results were lost because the outbox could not be written.
        """
        try:
            self._results.start()
            if self._publisher is not None:
                self._publisher.start()
            self._capture.open()
            self._inspector.start()
            self._capture.start()
            self._watch()
        finally:
            self._shut_down()
        self._raise_what_went_wrong()
        return self.statistics.summary()

    def request_stop(self) -> None:
        """End the run in order; safe in a signal handler and from any thread."""
        self._is_requested = True
        self._stop.set()

    def _watch(self) -> None:
        next_health = time.monotonic() + self._config.health_interval_s
        while self._inspector.is_alive() and not self._stop.wait(WATCH_S):
            self._capture.check(time.monotonic_ns())
            self._jobs.check(time.monotonic_ns())
            publisher_error = self._publisher.error if self._publisher else None
            if error := self._results.writer.error or publisher_error:
                raise error
            if time.monotonic() >= next_health:
                next_health += self._config.health_interval_s
                self._report.health(
                    acquire.camera_states(self._config, self._capture),
                    self.statistics.summary(),
                    self.drops.snapshot(),
                    self._publisher.stats if self._publisher else {"connected": False},
                    host_numbers(self._state_dir),
                    None if self._triggers is None else self._triggers.counts,
                )

    def _inspect(self) -> None:
        """Inspect frame after frame; this is the inspector's thread."""
        try:
            while not self._stop.is_set() and self._loop.step():
                self._heartbeat.beat()
                if self._max_frames is not None and self.statistics.parts >= self._max_frames:
                    return
        except BaseException as error:  # noqa: BLE001 - kept, and raised by `run`
            self._error = error

    def _finish(self, cmd_id: str, answer: Answer) -> None:
        self._commands.finish(cmd_id, answer)

    def _shut_down(self) -> None:
        """Stop from the camera to the broker, each with a share of the time that is left."""
        deadline = time.monotonic() + (STOP_S if self._is_requested or self._error else FINISH_S)

        def left() -> float:
            return max(0.05, deadline - time.monotonic())

        self._capture.stop()
        self._stop.set()
        ended = {"camera": self._capture.join(min(0.3, left()))}
        if self._inspector.ident is not None:
            self._inspector.join(min(1.0, left()))
            ended["inspector"] = not self._inspector.is_alive()
        self._loop.give_up_triggers(self._config.camera.name, "the station was stopped")
        ended["changeover"] = self._changeover.stop(min(0.3, left()))
        self._commands.close()
        self._report.halted()
        self.stuck = [name for name, has_ended in ended.items() if not has_ended]
        self.stuck += self._results.stop(left() * 2 / 3)
        if self._publisher is not None and not self._publisher.stop(left() / 2):
            log.warning(
                "results wait in the outbox rows=%d path=%s", self._outbox.depth, self._outbox.path
            )
        if self.stuck:
            log.error("threads did not stop threads=%s", ",".join(self.stuck))
        # A stuck inspector may still be inside the engine: leave it to the end of the process.
        if "inspector" not in self.stuck:
            self._cleanup.close()

    def _raise_what_went_wrong(self) -> None:
        if self._error is not None:
            raise self._error
        outputs.raise_if_lost(self._outbox, self._results.writer)
