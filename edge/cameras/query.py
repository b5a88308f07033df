"""The `key=value` pairs of a camera address; an unknown key or a wrong value is an error."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from urllib.parse import unquote

from edge.errors import ConfigError
from edge.redaction import redacted_words


class Query:
    """What stands behind the `?` of an address. `where` names the address in messages."""

    def __init__(self, where: str, text: str):
        self._where = where
        self._values: dict[str, str] = {}
        self._raw: dict[str, str] = {}
        for pair in filter(None, text.split("&")):
            key, _, value = pair.partition("=")
            if key in self._values:
                raise self.problem(f"{key}: given twice")
            self._values[key], self._raw[key] = unquote(value), pair

    def problem(self, what: str) -> ConfigError:
        """Return the error that says `what` about this address."""
        return ConfigError(f"camera address {self._where}: {redacted_words(what)}")

    def only(self, *known: str) -> None:
        """Refuse every key that is not `known`, naming the nearest."""
        for key in self._values:
            if key not in known:
                raise self.problem(f"unknown key {key}{nearest(key, known)}")

    def no_misspelling(self, *known: str, likeness: float = 0.85) -> None:
        """Refuse a key that is nearly one of `known`; other keys belong to the camera."""
        for key in self._values:
            if key not in known and difflib.get_close_matches(key, known, n=1, cutoff=likeness):
                raise self.problem(f"unknown key {key}{nearest(key, known)}")

    def text(self, key: str) -> str | None:
        """Return the value of `key`, None when absent."""
        value = self._values.get(key)
        if value == "":
            raise self.problem(f"{key}: expected a value, got nothing")
        return value

    def number(self, key: str, limit: float = math.inf) -> float | None:
        """Return a number from 0 to `limit`, None when absent."""
        text = self.text(key)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (0 <= value <= limit) or math.isinf(value):
            span = "of 0 or more" if math.isinf(limit) else f"from 0 to {limit:g}"
            raise self.problem(f"{key}: expected a number {span}, got {text}")
        return value

    def rate(self, key: str) -> float | None:
        """Return a number above 0, None when absent or 0."""
        return self.number(key) or None

    def faster_than(self, fps: float, stall_timeout_s: float) -> None:
        """Refuse a rate so slow that every frame would come after the stall alarm."""
        if 1 / fps >= stall_timeout_s:
            raise self.problem(
                f"fps: {fps:g} is a frame every {1 / fps:g} s, but after stall_timeout_s "
                f"{stall_timeout_s:g} the camera counts as lost; raise one of them"
            )

    def whole(self, key: str, minimum: int) -> int | None:
        """Return an integer of at least `minimum`, None when absent."""
        text = self.text(key)
        if text is None:
            return None
        if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) < minimum:
            raise self.problem(f"{key}: expected a whole number from {minimum} on, got {text}")
        return int(text)

    def choice(self, key: str, allowed: tuple[str, ...]) -> str | None:
        """Return one of `allowed`, None when absent."""
        text = self.text(key)
        if text is not None and text not in allowed:
            raise self.problem(f"{key}: expected {' or '.join(allowed)}, got {text}")
        return text

    def flag(self, key: str) -> bool:
        """Return whether `key` is 1; absent is False."""
        return self.choice(key, ("0", "1")) == "1"

    def size_wh(self, key: str, limits: tuple[int, int]) -> tuple[int, int] | None:
        """Return WIDTHxHEIGHT in pixels, both within `limits`; None when absent."""
        text = self.text(key)
        if text is None:
            return None
        match = re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})", text)
        size = (int(match.group(1)), int(match.group(2))) if match else (0, 0)
        if not all(limits[0] <= side <= limits[1] for side in size):
            raise self.problem(
                f"{key}: expected WIDTHxHEIGHT, each {limits[0]} to {limits[1]}, got {text}"
            )
        return size

    def rest(self, *known: str) -> str:
        """Return the pairs whose key is not `known`, as they were written."""
        return "&".join(pair for key, pair in self._raw.items() if key not in known)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean …?`, or the list of what is known when nothing is near."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(names)}"
