"""What a station reports of itself: birth certificate, state, health and the camera's alert."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from typing import Any

from edge.cameras.description import CameraDescription
from edge.config.station import StationConfig
from edge.messages.identity import Identity, ModelInfo
from edge.messages.payload import (
    Payload,
    health_payload,
    info_payload,
    significant,
    state_payload,
)
from edge.messages.state_board import StateBoard
from edge.outputs.continuity import Continuity
from edge.outputs.statistics import Summary
from edge.station.capture.camera_state import CameraState
from edge.station.commands.audit_log import AuditLog
from edge.station.commands.jobs import JobControl
from edge.station.host import software_versions
from edge.station.recipes.changeover import Changeover
from edge.station.recipes.recipes import LoadedRecipe


class StateReport:
    """Keeps info, state, health and the camera's alert up to date; any thread may call it.

    Args:
        config: the station.
        identity: who speaks.
        states: where the reports go.
        changeover: knows the recipe.
        jobs: knows the job.
        audit: knows the newest record of commands.
    """

    def __init__(
        self,
        config: StationConfig,
        identity: Identity,
        states: StateBoard,
        changeover: Changeover,
        jobs: JobControl,
        audit: AuditLog,
    ):
        self._config = config
        self._identity = identity
        self._states = states
        self._changeover = changeover
        self._jobs = jobs
        self._audit = audit
        self._software = software_versions()
        self._revision = config.revision
        self._began = time.monotonic()
        self._lock = threading.Lock()
        cameras = config.cameras
        self._optional = {camera.name: camera.optional for camera in cameras} or {
            config.camera.name: False
        }
        self._cameras = {name: CameraState() for name in self._optional}
        self._outbox: Payload | None = None
        self._is_halted = self._is_born = False
        self._delivery: str | None = None
        self._model: ModelInfo | None = None
        self._described: list[CameraDescription | None] = []

    def update(self) -> None:
        """Renew the state and, when recipe or camera is another one, the birth certificate."""
        with self._lock:  # so that an older state cannot overtake a newer one
            prepared = self._changeover.current
            model = prepared.model if prepared else None
            known = (model, [camera.description for camera in self._cameras.values()])
            if not self._is_born or known != (self._model, self._described):
                self._is_born = True
                self._model, self._described = known
                self._states.put("info", self._info(prepared))
            self._states.put("state", self.state())

    def camera_changed(self, name: str, camera: CameraState) -> None:
        """Note that a camera came, went or ended."""
        with self._lock:
            self._cameras = {**self._cameras, name: camera}
            lost = {
                each: state.detail
                for each, state in self._cameras.items()
                if state.detail and not state.connected
            }
        if lost:
            needed = any(not self._optional[each] for each in lost)
            severity = "critical" if needed else "error"
            self._states.raise_alert("camera_lost", severity, "; ".join(lost.values()))
        elif camera.connected:
            self._states.clear_alert("camera_lost")
        self.update()

    def camera_says(self, name: str) -> CameraDescription | None:
        """Return what a camera says of itself, if it does."""
        return self._cameras[name].description

    def numbering(self, going_on: Continuity) -> None:
        """Note which outbox gives the numbers, and how they went on."""
        self._outbox = {
            "id": going_on.outbox_id,
            "first_seq": going_on.given + 1,
            "missing": list(going_on.missing) if going_on.missing else None,
            "lost": going_on.lost,
            "is_exact": going_on.is_exact,
            "detail": str(going_on),
        }
        self.update()

    def delivery_changed(self, delivery: str) -> None:
        """Note that our own messages come back from the broker (`proven`) or do not."""
        self._delivery = delivery
        self.update()

    def halted(self) -> None:
        """Note that the station ends."""
        self._is_halted = True
        self.update()

    def state(self) -> Payload:
        """Return the state as it is now."""
        prepared, camera = self._changeover.current, self._needed
        state, mode, detail = self._condition(prepared)
        return state_payload(
            self._identity,
            state,
            mode=mode,
            detail=detail,
            model=prepared.model if prepared else None,
            threshold=_threshold(prepared, self._config.camera.name),
            camera={"name": self._config.camera.name, "connected": camera.connected},
            cameras=self._listed(
                {
                    name: {"connected": each.connected, "threshold": _threshold(prepared, name)}
                    for name, each in self._cameras.items()
                }
            ),
            revision=self._revision_with(prepared),
            outbox=self._outbox,
            delivery=self._delivery,
            audit={"count": self._audit.anchor.count, "head": self._audit.anchor.head},
        )

    def health(
        self,
        cameras: Mapping[str, CameraState],
        summary: Summary,
        drops: Mapping[tuple[str, str], int],
        mqtt: Mapping[str, Any],
        host: Mapping[str, Any],
        triggers: Mapping[str, int] | None = None,
    ) -> None:
        """Renew the periodic numbers."""
        figures = {name: _figures(camera) for name, camera in cameras.items()}
        name = self._config.camera.name
        health = health_payload(
            self._identity,
            uptime_s=time.monotonic() - self._began,
            camera={"name": name, **figures[name]},
            cameras=self._listed(figures),
            latency_ms={
                "p50": summary.total.p50,
                "p95": summary.total.p95,
                "p99": summary.total.p99,
            },
            drops={f"{where}.{why}": n for (where, why), n in drops.items()},
            mqtt=mqtt,
            host=host,
            triggers=triggers,
        )
        self._states.put("health", health)

    def _info(self, prepared: LoadedRecipe | None) -> Payload:
        said = {name: self._said_of(name, prepared) for name in self._cameras}
        return info_payload(
            self._identity,
            prepared.model if prepared else None,
            self._software,
            recipes=self._changeover.names,
            commands=self._config.commands.allow,
            **said[self._config.camera.name],
            cameras=self._listed(said),
        )

    def _said_of(self, name: str, prepared: LoadedRecipe | None) -> Payload:
        """Describe a camera, its place, and the geometry by which its frames are judged."""
        description = self._cameras[name].description
        geometry = prepared.of(name).bundle.recipe.geometry if prepared else None
        return {
            "camera": description.as_dict() if description else None,
            "place": self._changeover.place_of(name).as_dict(),
            "geometry": geometry.as_dict() if geometry else None,
        }

    def _listed(self, cameras: Mapping[str, Payload]) -> list[Payload] | None:
        """Return an entry per camera; None for a station with one, which is described already."""
        if not self._config.cameras:
            return None
        return [
            {"name": name, "is_optional": self._optional[name], **what}
            for name, what in cameras.items()
        ]

    @property
    def _needed(self) -> CameraState:
        """The worst of the cameras without which no part is judged."""
        needed = [camera for name, camera in self._cameras.items() if not self._optional[name]]
        away = [camera for camera in needed if not (camera.connected or camera.ended)]
        lost = [camera for camera in away if camera.detail]
        ended = [camera for camera in needed if not camera.connected]
        return (lost or away or ended or needed)[0]

    def _revision_with(self, prepared: LoadedRecipe | None) -> str:
        """Return the revision of the station file and of what commands have set since."""
        if prepared is None or prepared.set_threshold is None:
            return self._revision
        settings = f"{self._revision} threshold={prepared.set_threshold!r}"
        return hashlib.sha256(settings.encode()).hexdigest()[:12]

    def _condition(self, prepared: LoadedRecipe | None) -> tuple[str, str | None, str]:
        """Return state, mode and detail in the words of OPC 40100-1."""
        camera, preparing = self._needed, self._changeover.preparing
        if self._is_halted:
            return "halted", None, ""
        if not (camera.connected or camera.ended):
            return ("error" if camera.detail else "preoperational"), None, camera.detail
        if preparing is not None:
            return "operational", "initialized", f"preparing recipe {preparing}"
        if prepared is None:
            return "operational", "initialized", "no recipe is prepared"
        mode, detail = self._jobs.mode, self._jobs.detail
        if mode == "continuous_execution" and not camera.connected:
            mode = "ready"
        set_by = "" if prepared.set_threshold is None else "the threshold was set by command"
        return "operational", mode, "; ".join(filter(None, (detail, set_by)))


def _threshold(prepared: LoadedRecipe | None, camera: str) -> float | None:
    return significant(prepared.of(camera).bundle.thresholds.score.value) if prepared else None


def _figures(camera: CameraState) -> Payload:
    age_ms = None
    if camera.last_frame_ns is not None:
        age_ms = (time.monotonic_ns() - camera.last_frame_ns) / 1e6
    return {
        "connected": camera.connected,
        "fps": round(camera.fps, 2),
        "last_frame_age_ms": age_ms,
        "reconnects": camera.reconnects,
        "transport": dict(camera.transport),
    }
