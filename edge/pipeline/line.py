"""One station at work: camera -> mailbox -> inspector -> outbox -> broker, and its orderly stop.

Threads: the camera's, the inspector's, the writer's and the publisher's; the caller's thread
watches over them, so that a signal is heard whatever else is stuck.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from edge import __version__
from edge.bundle.store import Bundle, open_bundle
from edge.config.station import StationConfig
from edge.engines.load import engine_key, load_engine
from edge.engines.protocol import Engine
from edge.errors import PublishError
from edge.frame import Frame
from edge.mqtt.broker import EmbeddedBroker
from edge.mqtt.identity import Identity, ModelInfo, uuid7
from edge.mqtt.outbox import Outbox, outbox_path
from edge.mqtt.payload import (
    Payload,
    health_payload,
    info_payload,
    result_payload,
    state_payload,
)
from edge.mqtt.publisher import Publisher
from edge.mqtt.writer import ResultWriter
from edge.pipeline.archive import Archive
from edge.pipeline.capture import CameraState, Capture, make_mailbox
from edge.pipeline.drops import DropCounts
from edge.pipeline.host import host_numbers, software_versions
from edge.pipeline.inspector import Inspector, without_score
from edge.pipeline.tally import Summary, Tally
from edge.result import Inspection, Reason, Verdict

log = logging.getLogger(__name__)
TURN_S = 0.2
TAKE_S = 0.5
# A stop on request is over within two seconds; a finished folder may take longer to deliver.
STOP_S = 1.6
FINISH_S = 15.0


class Line:
    """Builds a station from its configuration and runs it once.

    Everything that is wrong at start raises; once running, a part that cannot be judged becomes a
    result of its own, a lost camera or broker is awaited, and only defects of the process end it.

    Args:
        config: the station.
        state_dir: folder of the outbox.
        on_result: gets every numbered result after it is safely stored, in a thread of the line.
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
        self._began = time.monotonic()
        self.tally = Tally()
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
        self._bundle = open_bundle(config.bundle)
        self._engine: Engine = self._cleanup.enter_context(load_engine(self._bundle, config.engine))
        self._inspector = Inspector(self._bundle, self._engine, config.decision)
        self._inspector.self_test()
        self._identity = Identity(config.node, config.station, uuid7())
        self._model = model_info(self._bundle, self._engine)
        self._mailbox = make_mailbox(config.camera, self.drops)
        self._capture = Capture(
            config.camera,
            self._mailbox,
            self.drops,
            on_refused=self._refused,
            on_change=self._camera_changed,
        )
        self._archive: Archive | None = None
        if config.archive is not None:
            can_wait = self._mailbox.policy == "every"
            self._archive = Archive(config.archive, self.drops, wait=can_wait)
        publishes = config.mqtt.broker != "none"
        path = outbox_path(self._state_dir, config.node, config.station)
        self._outbox = Outbox(path, config.mqtt.spool, keep=publishes)
        self._cleanup.callback(self._outbox.close)
        self._writer = ResultWriter(self._outbox, self._committed)
        self._publisher: Publisher | None = None
        if publishes:
            if config.mqtt.broker == "embedded":
                broker = EmbeddedBroker(config.mqtt.host, config.mqtt.port)
                self._cleanup.callback(broker.stop)
                broker.start()
            info = info_payload(self._identity, self._model, software_versions())
            self._publisher = Publisher(
                config.mqtt, self._identity, self._outbox, info, version=__version__
            )
        self._judge = threading.Thread(target=self._inspect, name="inspector", daemon=True)

    def run(self) -> Summary:
        """Run until the source ends, `max_frames` is reached or a stop is requested.

        Raises:
            CameraError: the camera is absent at start.
            EngineError: too many inferences failed in a row.
            PublishError: results were lost because the outbox could not be written.
        """
        try:
            self._writer.start()
            if self._publisher is not None:
                self._publisher.start()
            if self._archive is not None:
                self._archive.start()
            self._capture.open()
            self._judge.start()
            self._capture.start()
            self._watch()
        finally:
            self._shut_down()
        self._raise_what_went_wrong()
        return self.tally.summary()

    def request_stop(self) -> None:
        """End the run in order; safe in a signal handler and from any thread."""
        self._is_requested = True
        self._stop.set()

    def _watch(self) -> None:
        next_health = time.monotonic() + self._config.health_interval_s
        while self._judge.is_alive() and not self._stop.wait(TURN_S):
            self._capture.check(time.monotonic_ns())
            error = self._writer.error or (self._publisher.error if self._publisher else None)
            if error is not None:
                raise error
            if time.monotonic() >= next_health:
                next_health += self._config.health_interval_s
                self._report_health()

    def _inspect(self) -> None:
        """Judge frame after frame; the whole life of the inspector's thread."""
        try:
            while not self._stop.is_set():
                frame = self._mailbox.take(TAKE_S)
                if frame is not None:
                    inspection, anomaly_map = self._inspector.inspect(frame)
                    self._conclude(inspection)
                    if self._archive is not None:
                        self._archive.put(frame, anomaly_map, inspection)
                    if self._max_frames is not None and self.tally.parts >= self._max_frames:
                        return
                elif self._mailbox.closed:
                    return
        except BaseException as error:  # noqa: BLE001 - kept, and raised by `run`
            self._error = error

    def _conclude(self, inspection: Inspection) -> None:
        self.tally.add(inspection)
        self._writer.put(result_payload(inspection, self._identity, self._model))

    def _refused(self, frame: Frame) -> None:
        """Give the part of a frame that found the queue full its result all the same."""
        waiting = len(self._mailbox)
        log.warning(
            "frame refused reason=overrun camera=%s sequence=%d waiting=%d",
            frame.camera, frame.frame_id, waiting,
        )  # fmt: skip
        detail = f"{waiting} frames were waiting; the line is faster than the inspection"
        self._conclude(without_score(frame, Verdict.UNDECIDED, Reason.OVERRUN, detail))

    def _committed(self, payload: Payload) -> None:
        if self._publisher is not None:
            self._publisher.wake()
        if self._on_result is not None:
            self._on_result(payload)

    def _camera_changed(self, state: CameraState) -> None:
        if self._publisher is None:
            return
        if state.connected:
            self._publisher.clear_alert("camera_lost")
        elif not state.ended:
            self._publisher.raise_alert("camera_lost", "critical", state.detail)
        is_well = state.connected or state.ended
        self._publisher.set_state(
            state_payload(
                self._identity,
                "operational" if is_well else "error",
                mode="continuous_execution" if state.connected else "ready" if is_well else None,
                detail=state.detail,
                model=self._model,
                threshold=self._bundle.thresholds.score.value,
                camera={"name": self._config.camera.name, "connected": state.connected},
            )
        )

    def _report_health(self) -> None:
        camera, summary = self._capture.state, self.tally.summary()
        age_ms = None
        if camera.last_frame_ns is not None:
            age_ms = (time.monotonic_ns() - camera.last_frame_ns) / 1e6
        health = health_payload(
            self._identity,
            uptime_s=time.monotonic() - self._began,
            camera={
                "name": self._config.camera.name,
                "connected": camera.connected,
                "fps": round(camera.fps, 2),
                "last_frame_age_ms": age_ms,
                "reconnects": camera.reconnects,
            },
            latency_ms={
                "p50": summary.total.p50,
                "p95": summary.total.p95,
                "p99": summary.total.p99,
            },
            drops={f"{where}.{why}": n for (where, why), n in self.drops.snapshot().items()},
            mqtt=self._publisher.stats if self._publisher else {"connected": False},
            host=host_numbers(self._state_dir),
        )
        if self._publisher is not None:
            self._publisher.set_health(health)

    def _shut_down(self) -> None:
        """Stop front to back, each stage with what is left of the time."""
        limit_s = STOP_S if self._is_requested or self._error else FINISH_S
        deadline = time.monotonic() + limit_s

        def left() -> float:
            return max(0.05, deadline - time.monotonic())

        self._capture.stop()
        self._stop.set()
        if not self._capture.join(min(0.3, left())):
            self.stuck.append("camera")
        if self._judge.ident is not None:
            self._judge.join(min(1.0, left()))
            if self._judge.is_alive():
                self.stuck.append("inspector")
        if self._archive is not None and not self._archive.stop(left() / 3):
            self.stuck.append("archive")
        self._writer.stop(left() / 2)
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
        if self._writer.error is not None:
            raise self._writer.error
        given_up = self._writer.waiting + self._writer.lost_memory
        if given_up:
            raise PublishError(
                f"outbox {self._outbox.path}: {given_up} results could not be stored and are lost; "
                "free the disk"
            )


def model_info(bundle: Bundle, engine: Engine) -> ModelInfo:
    """Describe bundle and engine for payloads."""
    manifest, info = bundle.manifest, engine.info
    passed = any(
        record.passed and record.backend == info.backend and record.backend_version == info.version
        for record in manifest.parity
    )
    return ModelInfo(
        name=manifest.name,
        version=manifest.version,
        bundle_sha256=bundle.id,
        recipe_id=bundle.recipe.product,
        recipe_version=manifest.version,
        recipe_sha256=manifest.files["recipe.yaml"],
        backend=info.backend,
        precision=info.precision,
        engine_version=info.version,
        engine_key=engine_key(bundle, info),
        # Another release of the same runtime has not been compared; the self-test has run, though.
        parity="passed" if passed else "skipped",
    )
