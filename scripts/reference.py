#!/usr/bin/env python3
"""Write docs/reference/ from the code: what is documented twice is wrong once.

python scripts/reference.py           writes the pages
python scripts/reference.py --check   exits with 1 and names the pages that are stale
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import runpy
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import setuptools
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from edge import errors  # noqa: E402 - of this checkout
from edge.config.commands import COMMANDS  # noqa: E402
from edge.config.station import StationConfig  # noqa: E402
from edge.dashboard.settings import DashboardSettings  # noqa: E402

FOLDER = ROOT / "docs" / "reference"
NOTE = "<!-- Written by scripts/reference.py; change the code, then run `make reference`. -->\n"
# What validators make of a value -> how the documents call what one writes.
WORDS = {
    "parse_bytes": "size",
    "parse_seconds": "duration",
    "parse_share": "share",
    "parse_name": "name",
    "resolve_path": "path",
    "parse_command_name": "command",
}
SIMPLE = {str: "text", int: "integer", float: "number", bool: "true or false"}
ABOUT_SETTINGS = """Every key with its type and default. Relative paths
start from the folder of the file. An unknown key is an error.

A *name* has letters, digits, `_` and `-`. A *size* is `512MiB` or `2GB`, a *duration* `7d`,
`12h`, `30min` or `90s`, a *share* `all`, `none` or `1 %`."""
ABOUT_STATION_COMMANDS = """What a station takes over MQTT, if `commands.allow` of its file
names it. How to send them, and what they answer: [mqtt.md](../mqtt.md#commands)."""
ABOUT_PAYLOADS = """Fields of every message, from the JSON Schemas in `edge/messages/schemas/`.
Topics, QoS and what a consumer may rely on: [mqtt.md](../mqtt.md). The metrics and counters of a
station are in `health` and `counters`. `[]` stands for each entry of a list, `*` for any name.

Every message has `schema`; what a station sends also has `node`, `station` and `boot_id`, and,
but for results, `ts`."""
# Keys that stand in several places, or whose words stand with another key.
OTHERWISE = {
    "bundle": "path of the bundle",
    "product": "one product of a bundle that serves several",
    "user_env": "variable that holds the user, instead of `user`",
    "password_file": "file that holds the password, mode 0600, instead of `password_env`",
    "signing_key_env": "variable that holds the key, instead of `signing_key_file`",
    "tls_cert": "certificate of the pages, PEM",
    "tls_key": "its private key, mode 0600",
}
COMMON = ("schema", "node", "station", "boot_id", "ts")  # fields of nearly every message
LIMITS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
UNITS = {"size": ((2**30, "GiB"), (2**20, "MiB")), "duration": ((86400, "d"), (3600, "h"))}


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check compare them with what is there."""
    stale = []
    for name, text in pages().items():
        path = FOLDER / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    for path in stale if "--check" in arguments else ():
        print(f"{path.relative_to(ROOT)}: stale; run make reference", file=sys.stderr)
    return int(bool(stale) and "--check" in arguments)


def pages() -> dict[str, str]:
    """Name of each page -> its text."""
    station = ROOT / "configs" / "example.yaml"
    dashboard = ROOT / "configs" / "dashboard.yaml"
    return {
        "station-file.md": settings_page("Station file", StationConfig, station),
        "dashboard-file.md": settings_page("Dashboard file", DashboardSettings, dashboard),
        "commands.md": commands_page(),
        "station-commands.md": station_commands_page(),
        "payloads.md": payloads_page(),
        "exit-codes.md": exit_codes_page(),
    }


# Station and dashboard file


def settings_page(title: str, model: type[BaseModel], example: Path) -> str:
    """Describe every key of a YAML file; words come from the example's comments."""
    said: dict[str, str] = {}
    for path in (ROOT / "configs" / "example.yaml", example):
        said |= {k: words for k, words in comments(path.read_text("utf-8")).items() if words}
    name = f"configs/{example.name}"
    lines = [
        f"# {title}",
        NOTE,
        f"[{name}](../../{name}) is such a file. {ABOUT_SETTINGS}",
    ]
    for prefix, part in sections("", model):
        lines += ["", f"## {prefix.rstrip('.') or 'Top level'}", "", prose(part), ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        for key, field in part.model_fields.items():
            word = field.alias or key
            place = plain(prefix + word)
            # A camera of several has the keys of the one camera.
            words = said.get(place) or said.get(place.replace("cameras.", "camera."))
            words = words or OTHERWISE.get(word, "")
            if (inner := next(models_in(field.annotation), None)) is not None:
                place = f"{prefix}{word}{inner[1]}"
                words = f"[{place}](#{slug(place)})"
            lines.append(table_row((f"`{word}`", kind_of(field), default_of(field), words)))
    return linked("\n".join(lines) + "\n")


def sections(prefix: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the model and every one inside, with the dotted place of its keys."""
    yield prefix, model
    for key, field in model.model_fields.items():
        for inner, suffix in models_in(field.annotation):
            yield from sections(f"{prefix}{field.alias or key}{suffix}.", inner)


def models_in(annotation: Any) -> Iterator[tuple[type[BaseModel], str]]:
    """Yield the settings that a value may hold, with `[]` for lists and `.NAME` for mappings."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation, ""
    origin = typing.get_origin(annotation)
    suffix = {tuple: "[]", dict: ".NAME"}.get(origin, "") if origin else ""
    for inner in typing.get_args(annotation):
        for model, more in models_in(inner):
            yield model, suffix + more


def plain(path: str) -> str:
    """Drop what the example file does not write."""
    return path.replace("[]", "").replace(".NAME", "")


def prose(model: type[BaseModel]) -> str:
    """Return the docstring of a type of settings."""
    return inspect.cleandoc(model.__doc__ or "")


def kind_of(field: FieldInfo) -> str:
    """Say what one may write."""
    word = kind(field.annotation, field.metadata)
    limits = [
        f"{sign} {value:g}"
        for item in field.metadata
        for name, sign in LIMITS.items()
        if (value := getattr(item, name, None)) is not None
    ]
    return ", ".join((word, *limits))


def kind(annotation: Any, metadata: Any = ()) -> str:  # noqa: PLR0911 - one for each kind
    """Name a type in the words of the documents."""
    for item in metadata:
        word = WORDS.get(getattr(getattr(item, "func", None), "__name__", ""))
        if word:
            return word
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return kind(inner[0], inner[1:])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (typing.Union, types.UnionType):
        words = dict.fromkeys(kind(each) for each in inner if each is not types.NoneType)
        return " or ".join(words)
    if origin is tuple:
        return (
            f"list of {kind(inner[0])}" if inner[-1] is ... else f"{len(inner)} x {kind(inner[0])}"
        )
    if origin is dict:
        return f"{kind(inner[0])}: {kind(inner[1])}"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return "keys below"
    return SIMPLE.get(annotation, getattr(annotation, "__name__", "value").lower())


def default_of(field: FieldInfo) -> str:  # noqa: PLR0911 - one for each kind
    """Say what holds without the key."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel) or value in ({}, ()):
        return "–"
    word = kind(field.annotation, field.metadata)
    for unit, letter in UNITS.get(word, ()):
        if value >= unit and value % unit == 0:
            return f"`{value / unit:g}{letter}`"
    if word == "duration":
        return f"`{value:g}s`"
    if word == "share":
        return f"`{value:.0%}`".replace("%", " %")
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def comments(text: str) -> dict[str, str]:
    """Read an example file: dotted key -> its comment, which may stand above it or go on below."""
    found: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    above: list[str] = []
    last = ""
    for line in text.splitlines():
        key = re.match(r"( *)(\w+):(?: |$)", line)
        remark = re.search(r"(?:^|\s)#\s?(.*)$", line)
        if key:
            indent = len(key.group(1))
            stack = [item for item in stack if item[0] < indent] + [(indent, key.group(2))]
            last = ".".join(name for _, name in stack)
            words = [*above, remark.group(1)] if remark else above
            found.setdefault(last, " ".join(words))
            above = []
        elif remark and re.match(r"\w+: ", remark.group(1)):
            continue  # a key that the example leaves out
        elif remark and stack and len(line) - len(line.lstrip()) > stack[-1][0] + 4:
            found[last] = f"{found[last]} {remark.group(1)}".strip()
        elif remark and stack and line.startswith(" "):
            above.append(remark.group(1))
    return {key: re.sub(r"\s+", " ", words) for key, words in found.items()}


# Commands of the shell


def commands_page() -> str:
    """Describe every command with its options and its examples."""
    lines = ["# Commands", NOTE, "Errors are one line on stderr and an [exit code](exit-codes.md)."]
    for name, place in entry_points().items():
        module = importlib.import_module(place.partition(":")[0])
        for words, command in leaves(name, typer.main.get_command(module.app)):
            lines += ["", f"## {words}", "", prose_of(command.help), "", *options(command)]
            lines += ["", *examples(command.epilog)]
    return linked("\n".join(lines).rstrip("\n") + "\n")


def entry_points() -> dict[str, str]:
    """Read the commands of setup.py: name -> module:function."""
    kept: dict[str, Any] = {}
    real, setuptools.setup = setuptools.setup, lambda **given: kept.update(given)
    try:
        runpy.run_path(str(ROOT / "setup.py"))
    finally:
        setuptools.setup = real
    listed = kept["entry_points"]["console_scripts"]
    split = (line.partition("=") for line in listed)
    return {name.strip(): place.strip() for name, _, place in split}


def leaves(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Yield a command and its subcommands."""
    inner: Mapping[str, Any] = getattr(command, "commands", {})
    if not inner or getattr(command, "invoke_without_command", False):
        yield words, command
    for name, each in inner.items():
        yield from leaves(f"{words} {name}", each)


def prose_of(text: str | None) -> str:
    """Return a help text as Markdown."""
    return inspect.cleandoc(text or "").replace("\b", "")


def options(command: Any) -> list[str]:
    """List what a command takes."""
    rows = []
    for each in command.params:
        if each.name == "help" or getattr(each, "hidden", False):
            continue
        is_option = each.param_type_name == "option"
        names = [*each.opts, *each.secondary_opts] if is_option else [each.metavar or each.name]
        takes = "" if not is_option or each.is_flag else f" {each.metavar or 'VALUE'}"
        default = each.default
        shown = "required" if each.required else ""
        if isinstance(default, (str, int, float, Path)) and not isinstance(default, bool):
            shown = f"`{default}`" if str(default) else ""
        names_shown = ", ".join(f"`{one}{takes}`" for one in names)
        rows.append(table_row((names_shown, shown, getattr(each, "help", None) or "")))
    return ["| option | default | meaning |", "|---|---|---|", *rows] if rows else []


def examples(epilog: str | None) -> list[str]:
    """Return the examples of a command as a block."""
    said = [line.strip() for line in (epilog or "").splitlines() if line.strip()]
    return ["```", *said[1:], "```"] if said[1:] and said[0].startswith("Example") else []


# Commands of a station, payloads, exit codes


def station_commands_page() -> str:
    """Describe the table of commands over MQTT."""
    lines = [
        "# Commands of a station",
        NOTE,
        ABOUT_STATION_COMMANDS,
        "",
        "| command | required | optional | allowed by default | in the audit log |",
        "|---|---|---|---|---|",
    ]
    for spec in COMMANDS.values():
        required = ", ".join(f"`{name}`" for name in sorted(spec.required))
        optional = ", ".join(f"`{name}`" for name in sorted(spec.optional))
        marks = ("yes" if is_so else "no" for is_so in (spec.is_default, spec.is_change))
        lines.append(table_row((f"`{spec.name}`", required, optional, *marks)))
    return "\n".join(lines) + "\n"


def payloads_page() -> str:
    """Describe the fields of every payload, counters and health among them."""
    lines = [
        "# Payloads",
        NOTE,
        ABOUT_PAYLOADS,
    ]
    for path in sorted((ROOT / "edge" / "messages" / "schemas").glob("*.json")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        lines += ["", f"## {path.stem}", "", f"{schema['title']}.", ""]
        lines += ["| field | type | always there | meaning |", "|---|---|---|---|"]
        rows = fields("", schema, schema)
        lines += [table_row(row) for row in rows if row[0].strip("`") not in COMMON]
    return "\n".join(lines) + "\n"


def fields(prefix: str, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[Any]:
    """Yield a row for every field of a schema and of what is inside."""
    for name, found in schema.get("properties", {}).items():
        field, place = resolved(found, root), f"{prefix}{name}"
        is_there = "yes" if name in schema.get("required", ()) else ""
        yield f"`{place}`", json_type(field), is_there, field.get("description", "")
        yield from fields(f"{place}.", field, root)
        items = resolved(field.get("items", {}), root)
        yield from fields(f"{place}[].", items, root)
        if isinstance(more := field.get("additionalProperties"), dict):
            yield from fields(f"{place}.*.", resolved(more, root), root)


def resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """Follow a reference inside the document; what stands beside it wins."""
    if "$ref" not in schema:
        return dict(schema)
    target: Any = root
    for part in schema["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    return {**resolved(target, root), **{k: v for k, v in schema.items() if k != "$ref"}}


def json_type(schema: Mapping[str, Any]) -> str:
    """Name the type of a field."""
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    found = schema.get("type", "")
    return found if isinstance(found, str) else " or ".join(found)


def exit_codes_page() -> str:
    """Describe the tree of errors by exit code."""
    lines = [
        "# Exit codes",
        NOTE,
        "The same for every command. What to do: [troubleshooting.md](../troubleshooting.md).",
        "",
        "| code | error | meaning |",
        "|---|---|---|",
        table_row(("0", "", "done")),
    ]
    kinds = [
        each
        for each in vars(errors).values()
        if inspect.isclass(each) and issubclass(each, errors.EdgeError)
    ]
    for each in sorted(kinds, key=lambda one: (one.exit_code, len(one.__mro__))):
        first = inspect.cleandoc(each.__doc__ or "").splitlines()[0]
        lines.append(table_row((str(each.exit_code), f"`{each.__name__}`", first)))
    lines += [
        table_row(("1", "", "a defect of ours: the traceback is printed; or the reader has gone")),
        table_row(("2", "", "options that a command does not take")),
        table_row(("130", "", "interrupted by Ctrl-C")),
    ]
    return "\n".join(lines) + "\n"


# Markdown


def table_row(cells: Any) -> str:
    """Join cells to a row; `|` and line ends would break the table."""
    clean = (re.sub(r"\s+", " ", str(cell)).strip().replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(clean)} |"


def slug(heading: str) -> str:
    """Return the anchor of a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def linked(text: str) -> str:
    """Make links of the documents that comments and docstrings name."""

    def link(match: re.Match[str]) -> str:
        name = match.group(1)
        found = sorted((ROOT / "docs").glob(f"{name}.md" if match.group(2) else f"{name}-*.md"))
        if not found:
            return match.group(0)
        target = found[0].relative_to(ROOT / "docs").as_posix()
        return f"[{name}{match.group(2) or ''}](../{target})"

    return re.sub(r"\bdocs/((?:adr/)?[\w-]+)(\.md)?", link, text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
