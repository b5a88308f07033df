"""Access to features by GenApi, whose two Python bindings differ in how they spell names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from edge.cameras.genicam.features import Feature, Kind
from edge.config.camera import FeatureValue
from edge.errors import CameraUnavailable

T = TypeVar("T")

# Numbers of GenApi's interface types and access modes.
_KINDS: dict[int, Kind] = {
    2: "integer",
    3: "boolean",
    4: "command",
    5: "float",
    6: "string",
    9: "enumeration",
}
_NOT_THERE = {0, 1}
_WRITABLE = {2, 4}
_READABLE = {3, 4}


def snake(name: str) -> str:
    """Spell a name as the package genicam does: `get_access_mode`."""
    return name


def camel(name: str) -> str:
    """Spell a name as pypylon does: `GetAccessMode`."""
    return "".join(part.capitalize() for part in name.split("_"))


class GenApiFeatures:
    """The feature nodes of one node map.

    Args:
        node: name -> node; a missing one raises, is None or refuses every question.
        nodes: lists all nodes.
        failure: what the library raises.
        spell: how this binding spells the names of members.
        camera: name of the camera, for messages.
    """

    def __init__(
        self,
        node: Callable[[str], Any],
        nodes: Callable[[], Iterable[Any]],
        failure: type[Exception],
        spell: Callable[[str], str],
        camera: str,
    ):
        self._node = node
        self._nodes = nodes
        self._failure = failure
        self._spell = spell
        self._camera = camera

    def find(self, name: str) -> Feature | None:
        """Describe a feature; None when the camera does not have it at present."""
        node = self._present(name)
        kind = None if node is None else _KINDS.get(self._kind(node))
        if node is None or kind is None:
            return None
        return self._ask(name, lambda: self._described(node, kind))

    def names(self) -> Sequence[str]:
        """Return the names of all features."""
        found = []
        for node in self._nodes():
            inner = self._get(node, "node")
            if self._get(inner, "is_feature")() and self._kind(node) in _KINDS:
                found.append(str(self._get(inner, "name")))
        return found

    def read(self, name: str) -> FeatureValue:
        """Return the value of a feature."""
        value: FeatureValue = self._ask(name, lambda: self._get(self._node(name), "value"))
        return value

    def write(self, name: str, value: FeatureValue) -> None:
        """Set a feature, or execute a command."""

        def write() -> None:
            node = self._node(name)
            if self._kind(node) == 4:
                self._get(node, "execute")()
            else:
                setattr(node, self._spell("value"), value)

        self._ask(name, write)

    def read_again(self, name: str) -> None:
        """Ask the camera for a feature, whatever was read before."""
        node = self._node(name)
        self._get(self._get(node, "node"), "invalidate_node")()
        self._get(node, "value")

    def text(self, *names: str) -> str:
        """Return the first of these features that can be read, as text; empty without any."""
        return next((str(value) for value in map(self.value, names) if value is not None), "")

    def number(self, name: str) -> float | None:
        """Return a feature as a number; None when it cannot be read."""
        value = self.value(name)
        return None if value is None or isinstance(value, str) else float(value)

    def value(self, name: str) -> FeatureValue | None:
        """Return the value of a feature; None when it cannot be read."""
        try:
            node = self._node(name)
            if node is None or self._get(node, "get_access_mode")() not in _READABLE:
                return None
            value: FeatureValue = self._get(node, "value")
        except (self._failure, AttributeError):
            return None
        return value

    def _present(self, name: str) -> Any:
        try:
            node = self._node(name)
            is_there = node is not None and self._get(node, "get_access_mode")() not in _NOT_THERE
        except self._failure:
            return None
        return node if is_there else None

    def _described(self, node: Any, kind: Kind) -> Feature:
        is_writable = self._get(node, "get_access_mode")() in _WRITABLE
        if kind in {"integer", "float"}:
            has_step = kind == "integer" or self._get(node, "has_inc")()
            step = self._get(node, "inc") if has_step else None
            return Feature(
                kind, is_writable, self._get(node, "min"), self._get(node, "max"), step or None
            )
        if kind == "enumeration":
            words = tuple(
                str(self._get(entry, "symbolic"))
                for entry in self._get(node, "entries")
                if self._get(entry, "get_access_mode")() not in _NOT_THERE
            )
            return Feature(kind, is_writable, entries=words)
        return Feature(kind, is_writable)

    def _kind(self, node: Any) -> int:
        return int(self._get(self._get(node, "node"), "principal_interface_type"))

    def _get(self, thing: Any, name: str) -> Any:
        return getattr(thing, self._spell(name))

    def _ask(self, name: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except self._failure as error:
            raise CameraUnavailable(f"{self._camera}: feature {name}: {one_line(error)}") from None


def one_line(error: Exception) -> str:
    """Return what a GenICam library says, without the place in its own source."""
    text = " ".join(str(error).split())
    return text.partition(" : ")[0] or type(error).__name__
