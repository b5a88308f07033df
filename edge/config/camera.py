"""Where frames come from: the camera's address, its features, its queue, its patience."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, FiniteFloat, ValidationInfo, field_validator

from edge.config.reader import Settings
from edge.config.values import Name, resolve_path

# A bare On or Off in YAML is a boolean; edge.cameras.genicam.features takes it for the word.
FeatureValue = bool | int | FiniteFloat | Annotated[str, Field(min_length=1, max_length=200)]


def _without_password(text: str) -> str:
    if _PASSWORD.search(text):
        raise ValueError(
            "a password does not belong into the station file; use the address "
            "rtsp://user@host/path?decoder=gst&password_env=VARIABLE"
        )
    return text


# What gst-launch-1.0 takes, without a sink.
Pipeline = Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(_without_password)]
_PASSWORD = re.compile(
    r"(?:\bpw|passw\w*|passphrase|secret|token)\s*=|://[^\s/]*:[^\s/]*@", re.IGNORECASE
)


class CameraSettings(Settings):
    """Where frames come from.

    `source` is an address: file://, v4l2://, rtsp://, genicam:// and more (docs/cameras.md).
    `features` are set in a GenICam camera when it is opened: name in the standard feature naming
    convention (SFNC) -> value, such as ExposureTime: 800 (microseconds).
    `pipelines` are GStreamer pipelines without a sink, which gst://NAME opens.

    `buffer` says what happens when frames come faster than they are inspected. `latest` drops the
    older frame. `every` makes files wait; a live frame that finds the queue full gets a result that
    says so. `auto` means `latest` for live cameras and `every` for files.
    """

    name: Name = "cam0"
    source: str
    features: dict[Name, FeatureValue] = Field(default_factory=dict)
    pipelines: dict[Name, Pipeline] = Field(default_factory=dict)
    buffer: Literal["auto", "latest", "every"] = "auto"
    queue_size: int = Field(default=8, ge=1, le=1024)
    stall_timeout_s: float = Field(default=5.0, gt=0)
    retry_interval_s: float = Field(default=1.0, gt=0, le=60)
    retry_max_s: float = Field(default=30.0, gt=0, le=600)

    @field_validator("source")
    @classmethod
    def _is_address(cls, value: str, info: ValidationInfo) -> str:
        if "://" not in value:
            raise ValueError(
                "expected an address such as file:///data/parts, v4l2:///dev/video0, "
                "rtsp://host/path or test://conveyor"
            )
        scheme, _, rest = value.partition("://")
        if scheme in ("file", "replay") and rest and not rest.startswith(("/", "~")):
            return f"{scheme}://{resolve_path(Path(rest), info)}"
        return value
