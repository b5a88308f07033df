"""Canonical JSON (RFC 8785): one sequence of bytes for one value, whoever writes it.

Keys are sorted by their UTF-16 code units, there are no spaces, text is UTF-8 and escaped only
where JSON demands it, and numbers are written as ECMAScript does.
"""

from __future__ import annotations

import math
from json.encoder import encode_basestring
from typing import Any

_SIMPLE = {None: "null", True: "true", False: "false"}


def canonical_json(value: Any) -> bytes:
    """Write plain values: dicts with text as keys, lists, text, numbers, booleans, None.

    Raises:
        ValueError: a number is not finite, or text is not Unicode.
        TypeError: another type.
    """
    return _text(value).encode("utf-8")


def _text(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return str(encode_basestring(value))
    if kind is float:
        return _number(value)
    if kind is int:
        return str(value)
    if kind is dict:
        items = sorted(value.items(), key=_key)
        return "{" + ",".join(f"{encode_basestring(k)}:{_text(v)}" for k, v in items) + "}"
    if kind is list:
        return "[" + ",".join(map(_text, value)) + "]"
    if value is None or kind is bool:
        return _SIMPLE[value]
    raise TypeError(f"expected plain JSON values, got {kind.__name__}")


def _key(item: tuple[str, Any]) -> bytes:
    return item[0].encode("utf-16-be")


def _number(value: float) -> str:
    """Write a number as ECMAScript's Number::toString: shortest digits, exponents from 1e21."""
    if not math.isfinite(value):
        raise ValueError("expected a finite number")
    size = abs(value)
    if value == 0:
        return "0"
    if value.is_integer() and size < 1e21:
        return str(int(value)) if size < 2**53 else _plain(repr(value))
    digits = repr(value)
    if "e" not in digits:
        return digits
    mantissa, _, exponent = digits.partition("e")
    power = int(exponent)
    if -7 < power < 0:
        return _plain(digits)
    return f"{mantissa}e{'+' if power > 0 else '-'}{abs(power)}"


def _plain(digits: str) -> str:
    """Write shortest digits with an exponent, such as 1.5e-05, without it."""
    mantissa, _, exponent = digits.partition("e")
    sign, mantissa = ("-", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    point = len(whole) + int(exponent or 0)
    figures = whole + fraction
    if point <= 0:
        return f"{sign}0.{'0' * -point}{figures}"
    return f"{sign}{figures}{'0' * (point - len(figures))}"
