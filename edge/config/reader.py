"""YAML file -> frozen pydantic model, with every mistake of the file reported at once.

Each problem names the file, the line, the dotted path, what was expected and what was found, and
for an unknown key the nearest key that exists.
"""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from edge.config.yaml_limits import MAX_BYTES, check_text, check_tree
from edge.errors import ConfigError
from edge.redaction import HIDDEN, redacted, redacted_address

Model = TypeVar("Model", bound=BaseModel)
KeyPath = tuple[Hashable, ...]
QUOTED = re.compile(r"(?<=['\"])[^'\"]{2,}(?=['\"])")
_UNREADABLE = (
    ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError,
)  # fmt: skip


class Settings(BaseModel):
    """Base of every configuration type: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def read_settings(path: Path, model: type[Model], context: Any = None) -> Model:
    """Read `path` as YAML and validate it as `model`.

    `context` is handed to the model's validators (pydantic's validation context).

    Raises:
        ConfigError: with one problem per line: unreadable file, bad YAML, duplicate, unknown or
            missing key, wrong value.
    """
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path}: expected a regular file; give the path of a YAML file")
        with path.open(encoding="utf-8") as stream:
            text = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give the path of a YAML file") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as text: {error}") from error
    return parse_settings(text, str(path), model, context)


def parse_settings(text: str, name: str, model: type[Model], context: Any = None) -> Model:
    """Validate YAML `text`; `name` stands in front of every problem."""
    check_text(text, name)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}:{_yaml_problem(error)}") from error
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply; expected keys and values") from None
    if root is None:
        raise ConfigError(f"{name}: the file is empty; expected {_keys(model)}")
    check_tree(root, name)
    lines: dict[KeyPath, int] = {}
    duplicates: list[str] = []
    _index(root, (), lines, duplicates, name)
    if duplicates:
        raise ConfigError(*duplicates)
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}:{_yaml_problem(error)}") from error
    except _UNREADABLE as error:
        # PyYAML lets these through for dates, numbers and tags that make no sense.
        where = _unreadable_line(root)
        raise ConfigError(
            f"{name}:{where} a value cannot be read: {_one_line(error)}; put text in quotes"
        ) from None
    if not isinstance(data, dict):
        raise ConfigError(f"{name}: expected keys such as {_keys(model)}, got {_kind(data)}")
    try:
        return model.model_validate(data, context=context)
    except ValidationError as error:
        problems = [_problem(name, item, lines, model) for item in error.errors()]
        problems.sort(key=lambda problem: problem[0])
        raise ConfigError(*(text for _, text in problems)) from None
    except _UNREADABLE as error:
        # A validator met a value that its library refuses in a way of its own.
        raise ConfigError(f"{name}: a value cannot be used: {_one_line(error)}") from None


def _unreadable_line(root: yaml.Node) -> str:
    """Return the line of the first value that PyYAML cannot turn into an object, as `12:`."""
    pending = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.MappingNode):
            pending += [each for pair in reversed(node.value) for each in reversed(pair)]
        elif isinstance(node, yaml.SequenceNode):
            pending += reversed(node.value)
        else:
            try:
                yaml.SafeLoader("").construct_object(node)
            except _UNREADABLE:
                return f"{node.start_mark.line + 1}:"
    return ""


def _one_line(error: Exception) -> str:
    return _shown(" ".join(str(error).split()) or type(error).__name__)


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{mark.line + 1}: " if mark is not None else " "
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    # It quotes what it met, which may be a password that begins with * or !.
    return f"{where}not valid YAML: {QUOTED.sub(HIDDEN, what)}"


def _index(
    node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], duplicates: list[str], name: str
) -> None:
    """Remember the line of every key and list item, and collect keys given twice."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{name}:{line}: expected a word as a key, found a list or keys")
            if key.value in seen:
                dotted = _dotted((*path, key.value))
                first = seen[key.value]
                duplicates.append(f"{name}:{line}: {dotted}: given twice, first on line {first}")
            seen[key.value] = line
            inner = (*path, key.value)
            lines[inner] = line
            _index(value, inner, lines, duplicates, name)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            _index(item, (*path, position), lines, duplicates, name)


def _problem(
    name: str, item: ErrorDetails, lines: dict[KeyPath, int], model: type[BaseModel]
) -> tuple[int, str]:
    """Return the line and the sentence of one problem."""
    location: KeyPath = item["loc"]
    # Union tags and function validators add parts that are not keys of the file: drop them.
    path = tuple(part for i, part in enumerate(location) if _is_key(location[: i + 1], lines))
    if item["type"] == "missing":
        path = (*path, location[-1])
    line = next((lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in lines), 1)
    dotted = _dotted(path) or "the file"
    if item["type"] == "extra_forbidden":
        what = f"unknown key{_nearest(path, model)}"
    elif item["type"] == "missing":
        what = "missing; this key has no default"
    else:
        message = item["msg"].removeprefix("Value error, ")
        what = f"{message[0].lower()}{message[1:]}"
        # A rule about several keys names them; all of the section would be no help.
        if not (item["type"] == "value_error" and isinstance(item["input"], dict)):
            what += f", got {_shown(item['input'])}"
    return line, f"{name}:{line}: {dotted}: {what}"


def _is_key(path: KeyPath, lines: dict[KeyPath, int]) -> bool:
    return any(known[: len(path)] == path for known in lines)


def _nearest(path: KeyPath, model: type[BaseModel]) -> str:
    known = _fields_at(path[:-1], model)
    close = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known keys: {', '.join(known)}" if known else ""


def _fields_at(path: KeyPath, model: type[BaseModel]) -> list[str]:
    """Keys that the model accepts at `path`."""
    current: Any = model
    for part in path:
        if isinstance(part, int):
            continue  # a list's items have the type that the list's annotation holds
        fields = current.model_fields if current is not None else {}
        if part not in fields:
            return []
        current = _model_in(fields[part].annotation)
    fields = current.model_fields if current is not None else {}
    return [field.alias or name for name, field in fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in typing.get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None


def _dotted(path: KeyPath) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _keys(model: type[BaseModel]) -> str:
    return ", ".join(model.model_fields)


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    return "text" if isinstance(value, str) else f"a {type(value).__name__}"


def _shown(value: Any) -> str:
    # Before it is cut: a cut may take away the @ by which a password is known.
    text = repr(redacted_address(value)) if isinstance(value, str) else redacted(repr(value))
    return text if len(text) <= 60 else text[:57] + "..."
