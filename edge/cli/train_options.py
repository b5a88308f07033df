"""The options of edge-train, one type per method: its fields are the options that belong to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from edge.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options that every method has; a field `few_shot` is the option --few-shot.

    Attributes:
        CHOICES: what the options that list words may list.
    """

    CHOICES: ClassVar[Mapping[str, Sequence[str]]] = {}

    data: tuple[Path, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in self.CHOICES.items():
            unknown = sorted(set(getattr(self, name)) - set(known))
            if unknown:
                raise ConfigError(
                    f"{flag(name)}: expected one of {', '.join(known)}, got {unknown[0]}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions(Options):
    """Options of the methods that train a network of their own."""

    preset: str = "lite"
    weights: str | None = None
    size: str = "auto"
    batch: int | None = None
    geometry: Path | None = None

    @property
    def size_wh(self) -> tuple[int, int] | None:
        """Network size; None leaves the choice to the method."""
        return None if self.size == "auto" else pair(self.size, "--size")


@dataclass(frozen=True, slots=True, kw_only=True)
class InpFormerOptions(NetworkOptions):
    """--method inp-former."""

    CHOICES: ClassVar = {"plus": ("soft-coherence", "squared-mining", "head")}

    tiles: str = "1x1"
    steps: int | None = None
    shots: int | None = None
    folds: int | None = None
    trim: bool = False
    augment: bool = False
    instant: bool = False
    plus: tuple[str, ...] = ()
    refine: bool = False
    branches: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiAdsOptions(NetworkOptions):
    """--method multiads, and what mavis and dapo share with it."""

    target: Path | None = None
    types: str = ""
    labelled: int | None = None
    few_shot: int = 0
    epochs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MavisOptions(MultiAdsOptions):
    """--method mavis."""

    CHOICES: ClassVar = {"n_pair": ("image", "patch")}

    n_pair: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DapoOptions(MultiAdsOptions):
    """--method dapo."""

    CHOICES: ClassVar = {"without": ("text-tokens", "visual-tokens")}

    without: tuple[str, ...] = ()
    legacy_text_path: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptMadOptions(NetworkOptions):
    """--method promptmad."""

    types: str = ""
    steps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TypesOptions(Options):
    """--method types."""

    run: Path | None = None
    types: str = ""
    labelled: int = 0
    negation: bool = False
    names_only: bool = False
    false_rejects: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateOptions(Options):
    """--method update."""

    run: Path | None = None
    reviews: Path | None = None
    archive: Path | None = None
    accept_worse: bool = False


OPTIONS: Mapping[str, type[Options]] = {
    "inp-former": InpFormerOptions,
    "multiads": MultiAdsOptions,
    "mavis": MavisOptions,
    "dapo": DapoOptions,
    "promptmad": PromptMadOptions,
    "types": TypesOptions,
    "update": UpdateOptions,
}


def flag(name: str) -> str:
    """The option of a field."""
    return f"--{name.replace('_', '-')}"


def methods_with(name: str) -> tuple[str, ...]:
    """The methods that an option belongs to, by the name of its field."""
    return tuple(
        method
        for method, options in OPTIONS.items()
        if name in {field.name for field in fields(options)}
    )


def panel(name: str) -> str | None:
    """Where --help lists an option: under its methods; None if all have it."""
    methods = methods_with(name)
    return None if len(methods) == len(OPTIONS) else f"Options of {', '.join(methods)}"


def read_options(method: str, given: Mapping[str, Any]) -> Options:
    """The options of a method, from those given by field name; None and [] are not given.

    Raises:
        ConfigError: there is no such method, an option belongs to others, or its value is unknown.
    """
    if method not in OPTIONS:
        raise ConfigError(f"--method: expected one of {', '.join(OPTIONS)}, got {method}")
    wanted: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None and value != []
    }
    for name in wanted:
        fitting = methods_with(name)
        if method not in fitting:
            raise ConfigError(
                f"{flag(name)}: expected with --method {' or '.join(fitting)} only, got {method}"
            )
    return OPTIONS[method](**wanted)


def listed(text: str) -> tuple[str, ...]:
    """Words with commas between, without spaces around them."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def pair(text: str, option: str) -> tuple[int, int]:
    """Read two numbers such as 320x256.

    Raises:
        ConfigError: it is something else.
    """
    left, _, right = text.lower().partition("x")
    if not (left.isdecimal() and right.isdecimal() and int(left) > 0 and int(right) > 0):
        raise ConfigError(f"{option}: expected two numbers such as 320x256, got {text}")
    return int(left), int(right)
