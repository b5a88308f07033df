"""Triggers inside the camera: the features that arm it, in the words of GenICam's SFNC."""

from __future__ import annotations

from edge.config.camera import CameraSettings, FeatureValue
from edge.config.trigger import TriggerSettings
from edge.errors import ConfigError

# Cameras that have features, by the schemes of their addresses.
ARMED = ("genicam", "aravis", "pylon", "gentl")
# Stand-ins whose frames count as triggers as they come.
SIMULATED = ("test",)


def armed(camera: CameraSettings, trigger: TriggerSettings) -> CameraSettings:
    """Return the settings of a camera with the features that the trigger needs.

    Cameras without features are returned as they are: they run freely, and the first frame after
    the trigger is taken.

    Raises:
        ConfigError: the trigger needs a camera with features, or the station file sets a feature
            that the trigger decides.
    """
    scheme = camera.source.partition("://")[0].lower()
    if trigger.is_free:
        return camera
    if scheme not in ARMED:
        if trigger.is_in_camera and scheme not in SIMULATED:
            schemes = ", ".join(f"{name}://" for name in ARMED)
            raise ConfigError(
                f"trigger: by: {trigger.by} needs a camera with inputs ({schemes}), got "
                f"{scheme}://; use by: software or interval"
            )
        if trigger.strobe_line is not None:
            raise ConfigError(f"trigger.strobe_line: {scheme}:// cameras have no outputs")
        return camera
    own = features(trigger)
    if both := sorted(own.keys() & camera.features.keys()):
        raise ConfigError(
            f"camera.features: {', '.join(both)} follows from trigger; set it in one place"
        )
    return camera.model_copy(update={"features": {**camera.features, **own}})


def features(trigger: TriggerSettings) -> dict[str, FeatureValue]:
    """Return the features that arm a camera: name -> value, in the order to set them."""
    found: dict[str, FeatureValue] = {}
    if trigger.strobe_line is not None:
        found |= {
            "LineSelector": trigger.strobe_line,
            "LineMode": "Output",
            "LineSource": "ExposureActive",
        }
    found |= {"TriggerSelector": "FrameStart", "TriggerMode": "On"}
    if trigger.by == "hardware":
        found |= {"TriggerSource": trigger.line, "TriggerActivation": trigger.activation}
    elif trigger.is_in_camera:
        first, second = trigger.encoder_lines
        found |= {
            "EncoderSelector": "Encoder0",
            "EncoderSourceA": first,
            "EncoderSourceB": second,
            "EncoderMode": "FourPhase",
            "EncoderOutputMode": "PositionUp",
            "EncoderDivider": trigger.counts_per_trigger,
            "TriggerSource": "Encoder0",
        }
    else:
        found["TriggerSource"] = "Software"
    if trigger.delay_ms:
        found["TriggerDelay"] = trigger.delay_ms * 1e3
    return found
