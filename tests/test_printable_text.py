"""Text from outside cannot forge a line or move a cursor."""

from __future__ import annotations

import unicodedata

import pytest

from edge.printable_text import escaped, escaped_lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("camera top, 12 %", "camera top, 12 %"),
        ("Kratzer an der Öse, 12\u00a0% (größer als 3 µm²) ✓ 日本", None),
        ("a\nb", r"a\nb"),
        ("a\r\n2026-11-29T10:00:00Z INFO forged", r"a\r\n2026-11-29T10:00:00Z INFO forged"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("\0\t\x7f", r"\x00\t\x7f"),
        ("pass\u202eliaf", r"pass\u202eliaf"),
        ("\u2066x\u2069\u200e\u061c", r"\u2066x\u2069\u200e\u061c"),
        ("pa\u200bss\u200d\ufeff\u00ad\u2060", r"pa\u200bss\u200d\ufeff\xad\u2060"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("\u3164\u2800\ufe0f", r"\u3164\u2800\ufe0f"),
        ("\U000e0041", r"\U000e0041"),
        ("caf\udce9.png", r"caf\udce9.png"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, expected: str | None) -> None:
    assert escaped(text) == (text if expected is None else expected)
    assert escaped(escaped(text)) == escaped(text)


def test_no_control_or_format_character_of_unicode_is_left() -> None:
    for number in range(0x110000):
        kind = unicodedata.category(chr(number))
        if kind in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}:
            assert escaped(chr(number)).isascii(), hex(number)


def test_line_breaks_of_our_own_are_kept_where_asked_for() -> None:
    assert escaped_lines("a\x1b\nb\r") == "a\\x1b\nb\\r"
