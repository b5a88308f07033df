"""The station file: one camera at one place, its bundle, its broker."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticKnownError

from edge.config.archive import ArchiveSettings
from edge.config.camera import CameraSettings
from edge.config.commands import DEFAULT_COMMANDS, CommandName
from edge.config.mqtt import MqttSettings, parse_broker
from edge.config.part import PartSettings
from edge.config.reader import Settings, read_settings
from edge.config.trigger import TriggerSettings
from edge.config.trust import TrustSettings
from edge.config.values import FilePath, Name, Seconds
from edge.config.views import MAX_CAMERAS, MatchingSettings, ViewBundle, ViewSettings, check_views
from edge.errors import ConfigError
from edge.redaction import redacted_address

# Languages that regions are described in, see edge.messages.finding.
Language = Literal["en", "de", "fr"]


class DecisionSettings(Settings):
    """How scores become verdicts at this station.

    `undecided_p`: parts whose p-value lies between the bundle's alpha and this value become
    `undecided`; without it none do. `types`: whether a bundle's second graph, which names defect
    types, runs for the parts that do not pass (`rejected`) or for each part (`always`, so that
    every part takes the same time); verdicts and names are the same. `max_engine_failures`: this
    many failed inferences in a row end the process, so that its supervisor restarts it.
    """

    undecided_p: float | None = Field(default=None, gt=0, lt=1)
    types: Literal["rejected", "always"] = "rejected"
    max_engine_failures: int = Field(default=5, ge=1)


Spin = Literal["off", "brief", "on"]


class EngineSettings(Settings):
    """Which engine runs the bundle's graphs.

    `backend`: without it the reference runs, `onnxruntime` with the FP32 graphs on the CPU, or
    `openvino` where the bundle's graph is an OpenVINO IR, which no other engine runs; `tensorrt`,
    `openvino` and `onnxruntime_gpu` run what edge-build-engine has put into `folder`, and stop if
    nothing of theirs has passed the parity check on this device; `auto` takes the fastest that has,
    else the reference, and logs it.
    `threads` is for CPUs, `spin` for ONNX Runtime there (edge.engines.onnx.engine.session_options),
    `cuda` for TensorRT, `cuda_graph` for all on NVIDIA GPUs.
    """

    backend: Literal["auto", "onnxruntime", "onnxruntime_gpu", "tensorrt", "openvino"] | None = None
    threads: int = Field(default=0, ge=0, description="0 = physical cores")
    spin: Spin = "brief"
    folder: FilePath | None = None
    cuda: Literal["auto", "cuda-python", "pycuda"] = "auto"
    cuda_graph: bool = True

    @field_validator("spin", mode="before")
    @classmethod
    def _spin(cls, value: object) -> object:
        # YAML reads the bare words off and on as booleans.
        return {False: "off", True: "on"}[value] if isinstance(value, bool) else value


class RecipeSettings(Settings):
    """A bundle and, if it serves several products, the one that is inspected.

    `views`: bundles of cameras that are not judged by the recipe's own, by name of the camera.
    """

    bundle: FilePath
    product: Name | None = None
    views: dict[Name, ViewBundle] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, value: object) -> object:
        return {"bundle": value} if isinstance(value, str) else value


class CommandSettings(Settings):
    """Which commands the station takes over MQTT, and when.

    `allow`: an empty list means none: the station then subscribes to no commands. By default it
    takes only those that move nothing. `max_lifetime_s`: how long a command is valid at most.
    `clock_tolerance_s`: how far a sender's clock may be ahead. `keep_audit_s`: how long the audit
    log is kept.
    """

    allow: tuple[CommandName, ...] = DEFAULT_COMMANDS
    max_lifetime_s: Seconds = Field(default=300.0, ge=1, le=86400)
    clock_tolerance_s: Seconds = Field(default=30.0, le=3600)
    keep_audit_s: Seconds = Field(default=365 * 86400.0, ge=86400)


class StationConfig(Settings):
    """One station. Relative paths start from the folder of the station file.

    Either `bundle` (with `product`, if the bundle serves several) or `recipes`, of which `recipe`
    is active at the first start. `language` is that of the findings in results. `place` is a
    file by edge-calibrate: lens, rectification and scale of the camera's place.

    Either `camera`, or `cameras` that give several views of each part; the worst view decides.
    Then `camera`, `place` and, unless they are written, `bundle` and `product` are those of the
    first of them. A trigger that the station hears of says which frames belong together; for
    cameras that run freely, `matching` does.
    """

    node: Name
    station: Name
    language: Language = "en"
    cameras: tuple[ViewSettings, ...] = Field(default=(), max_length=MAX_CAMERAS)
    bundle: FilePath | None = None
    product: Name | None = None
    recipes: dict[Name, RecipeSettings] = Field(default_factory=dict)
    recipe: Name | None = None
    # Required, unless `cameras` stand for it.
    camera: CameraSettings = Field(default=cast("CameraSettings", None))
    place: FilePath | None = None
    trigger: TriggerSettings = TriggerSettings()
    part: PartSettings = PartSettings()
    matching: MatchingSettings = MatchingSettings()
    decision: DecisionSettings = DecisionSettings()
    engine: EngineSettings = EngineSettings()
    mqtt: MqttSettings = MqttSettings()
    archive: ArchiveSettings | None = None
    commands: CommandSettings = CommandSettings()
    trust: TrustSettings = TrustSettings()
    health_interval_s: float = Field(default=30.0, gt=0)

    @field_validator("cameras")
    @classmethod
    def _fit_together(cls, cameras: tuple[ViewSettings, ...]) -> tuple[ViewSettings, ...]:
        if cameras:
            check_views(cameras)
        return cameras

    @field_validator("bundle", "product", "place")
    @classmethod
    def _of_the_first_camera(cls, value: Any, info: ValidationInfo) -> Any:
        if not info.data.get("cameras"):
            return value
        own = getattr(info.data["cameras"][0], str(info.field_name))
        if value is not None and own is not None:
            raise ValueError("the first camera has one of its own; write it once")
        if value is not None and info.field_name == "place":
            raise ValueError("with cameras, each has a place of its own; write it there")
        return own if value is None else value

    @field_validator("camera", mode="before")
    @classmethod
    def _camera_or_cameras(cls, value: Any, info: ValidationInfo) -> Any:
        if "cameras" not in info.data:  # they are wrong, which is said already
            return CameraSettings(source="none://") if value is None else value
        cameras = info.data["cameras"]
        if value is None and not cameras:
            raise PydanticKnownError("missing")
        if value is not None and cameras:
            raise ValueError("expected one of camera and cameras, got both")
        return cameras[0] if cameras else value

    @model_validator(mode="after")
    def _views_have_names(self) -> StationConfig:
        names = [camera.name for camera in self.cameras]
        for recipe, settings in self.recipes.items():
            for view in settings.views:
                if view not in names[1:]:
                    listed = ", ".join(names[1:]) or "no further camera"
                    raise ValueError(
                        f"recipes.{recipe}.views: expected {listed}, got {view}; the first camera "
                        "is judged by the recipe's own bundle"
                    )
        for camera in self.cameras:
            if camera.recipe is not None and camera.recipe not in self.recipes:
                known = ", ".join(self.recipes) or "none"
                raise ValueError(
                    f"cameras: {camera.name}: expected a recipe of the station ({known}), got "
                    f"{camera.recipe}"
                )
        return self

    @model_validator(mode="after")
    def _bundle_or_recipes(self) -> StationConfig:
        names = ", ".join(self.recipes)
        if (self.bundle is None) == (not self.recipes):
            raise ValueError("expected one of bundle and recipes")
        if self.bundle is not None and self.recipe is not None:
            raise ValueError("recipe names one of recipes; with bundle, leave it out")
        if self.recipes and self.recipe not in self.recipes:
            raise ValueError(f"expected recipe: one of {names}, got {self.recipe}")
        if self.recipes and self.product is not None:
            raise ValueError("product goes with bundle; write NAME: {bundle: PATH, product: NAME}")
        is_closed = self.trigger.http_port is None and "trigger" not in self.commands.allow
        if self.trigger.by == "software" and is_closed:
            raise ValueError(
                "trigger: software needs a door: http_port, or commands.allow: [trigger, ...]"
            )
        return self

    @model_validator(mode="after")
    def _one_way_to_know_a_part(self) -> StationConfig:
        if self.part.by == "presence" and not self.trigger.is_free:
            raise ValueError("part: presence needs trigger: free; a trigger says what is a part")
        if self.cameras and self.trigger.is_in_camera:
            raise ValueError(
                "cameras need a trigger that all of them share: free, interval, software, or "
                f"encoder with counts; got {self.trigger.by}, which is for one camera"
            )
        if "matching" in self.model_fields_set and not (self.cameras and self.trigger.is_free):
            raise ValueError("matching goes with cameras and trigger: free; leave it out")
        if self.part.by == "presence" and self.camera.buffer == "latest":
            raise ValueError("camera.buffer: latest would lose parts; use auto with part: presence")
        return self

    @model_validator(mode="after")
    def _who_watches(self) -> StationConfig:
        name, views = self.part.camera, {camera.name: camera for camera in self.cameras}
        if name is not None and name not in views:
            listed = ", ".join(views) or "no cameras"
            raise ValueError(f"part.camera: expected one of {listed}, got {name}")
        if name is not None and views[name].optional:
            raise ValueError(f"part.camera: {name} watches for parts, so it cannot be optional")
        return self

    @property
    def revision(self) -> str:
        """Twelve hexadecimal digits that change whenever any setting does."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


def read_station(path: Path) -> StationConfig:
    """Read and check a station file.

    Raises:
        ConfigError: listing every problem of the file.
    """
    return read_settings(path, StationConfig, {"folder": path.resolve().parent})


def with_overrides(
    config: StationConfig,
    *,
    camera: str | None = None,
    bundle: Path | None = None,
    mqtt: str | None = None,
) -> StationConfig:
    """Apply command-line overrides; `mqtt` is a broker address, `embedded` or `none`.

    Raises:
        ConfigError: when an override is not a valid value.
    """
    changes: dict[str, Any] = {}
    if camera is not None:
        if config.cameras:
            raise ConfigError("--camera: the station has several cameras; change the station file")
        if "://" not in camera:
            raise ConfigError(
                f"--camera: expected an address such as file:///data, got "
                f"{redacted_address(camera)}"
            )
        changes["camera"] = config.camera.model_copy(update={"source": camera})
    if bundle is not None:
        if any(view.bundle is not None or view.recipe is not None for view in config.cameras):
            raise ConfigError(
                "--bundle: cameras have bundles of their own; change the station file"
            )
        changes |= {"bundle": bundle.resolve(), "product": None, "recipes": {}, "recipe": None}
    if mqtt is not None:
        changes["mqtt"] = config.mqtt.model_copy(update=parse_broker(mqtt, "--mqtt"))
    return config.model_copy(update=changes)
