"""Access to the features of a camera that Aravis has open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from edge.cameras.genicam.features import Feature, Kind
from edge.config.camera import FeatureValue
from edge.errors import CameraUnavailable

T = TypeVar("T")

# Aravis says so where a float has no increment.
_NO_INCREMENT = 1e-300


class AravisFeatures:
    """The feature nodes of one device.

    Args:
        aravis: the library.
        failure: what the library raises (GLib.Error).
        device: an open Aravis.Device.
        camera: name of the camera, for messages.
    """

    def __init__(self, aravis: Any, failure: type[Exception], device: Any, camera: str):
        self._aravis = aravis
        self._failure = failure
        self._device = device
        self._camera = camera

    def find(self, name: str) -> Feature | None:
        """Describe a feature; None when the camera does not have it at present."""
        node = self._node(name)
        kind = self._kind(node)
        if kind is None or not self._ask(name, self._device.is_feature_available, name):
            return None
        is_writable = kind == "command" or self._is_writable(name, node)
        if kind == "integer":
            low, high = self._ask(name, self._device.get_integer_feature_bounds, name)
            step = self._step(self._device.get_integer_feature_increment, name)
            return Feature(kind, is_writable, low, high, step)
        if kind == "float":
            low, high = self._ask(name, self._device.get_float_feature_bounds, name)
            step = self._step(self._device.get_float_feature_increment, name)
            return Feature(kind, is_writable, low, high, step)
        if kind == "enumeration":
            words = self._ask(
                name, self._device.dup_available_enumeration_feature_values_as_strings, name
            )
            return Feature(kind, is_writable, entries=tuple(words))
        return Feature(kind, is_writable)

    def names(self) -> Sequence[str]:
        """Return the names of all features, category by category."""
        names: dict[str, None] = {}
        pending, seen = ["Root"], set()
        while pending:
            name = pending.pop()
            node = self._node(name)
            if node is None or name in seen:
                continue
            seen.add(name)
            if isinstance(node, self._aravis.GcCategory):
                pending += reversed(list(node.get_features()))
            else:
                names[name] = None
        return list(names)

    def read(self, name: str) -> FeatureValue:
        """Return the value of a feature."""
        device, kind = self._device, self._kind(self._node(name))
        getters: dict[Kind | None, Callable[[str], FeatureValue]] = {
            "integer": device.get_integer_feature_value,
            "float": device.get_float_feature_value,
            "boolean": device.get_boolean_feature_value,
            "enumeration": device.get_string_feature_value,
        }
        getter = getters.get(kind, device.get_string_feature_value)
        value: FeatureValue = self._ask(name, getter, name)
        return value

    def write(self, name: str, value: FeatureValue) -> None:
        """Set a feature, or execute a command."""
        device, kind = self._device, self._kind(self._node(name))
        if kind == "command":
            self._ask(name, device.execute_command, name)
            return
        setters: dict[Kind | None, Callable[[str, Any], object]] = {
            "integer": device.set_integer_feature_value,
            "float": device.set_float_feature_value,
            "boolean": device.set_boolean_feature_value,
        }
        self._ask(name, setters.get(kind, device.set_string_feature_value), name, value)

    def text(self, *names: str) -> str:
        """Return the first of these features that the camera has, as text; empty without any."""
        for name in names:
            if self.find(name) is not None:
                return str(self.read(name))
        return ""

    def _node(self, name: str) -> Any:
        return self._device.get_feature(name)

    def _kind(self, node: Any) -> Kind | None:
        aravis = self._aravis
        # An enumeration is a whole number and text as well, so the order decides.
        kinds: tuple[tuple[Any, Kind], ...] = (
            (aravis.GcEnumeration, "enumeration"),
            (aravis.GcCommand, "command"),
            (aravis.GcBoolean, "boolean"),
            (aravis.GcInteger, "integer"),
            (aravis.GcFloat, "float"),
            (aravis.GcString, "string"),
        )
        return next((kind for type_, kind in kinds if isinstance(node, type_)), None)

    def _is_writable(self, name: str, node: Any) -> bool:
        if self._ask(name, node.is_locked):
            return False
        modes = self._aravis.GcAccessMode
        return node.get_actual_access_mode() in {modes.RW, modes.WO}

    def _step(self, increment: Callable[[str], float], name: str) -> float | None:
        # A node whose description names no increment may say so by a number or by an error.
        try:
            step = increment(name)
        except self._failure:
            return None
        return step if step > _NO_INCREMENT else None

    def _ask(self, name: str, call: Callable[..., T], *arguments: Any) -> T:
        try:
            return call(*arguments)
        except self._failure as error:
            what = getattr(error, "message", str(error))
            raise CameraUnavailable(f"{self._camera}: feature {name}: {what}") from None
