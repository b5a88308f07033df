"""Text from outside made safe to print: what a terminal or a reader of logs would obey is shown.

A line break in a camera's name forges a log line, an escape sequence moves the cursor, and a
bidirectional control or a zero-width character makes text read as another one.
"""

from __future__ import annotations

import re

# Letters and marks that show nothing, though Unicode does not count them among the controls.
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10))))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)
_SPACES = frozenset("\u00a0\u2007\u2009\u202f\u3000")  # of typography; they only are not ASCII
_PLAIN = re.compile(r"[ -~]*")


def escaped(text: str) -> str:
    r"""Return `text` in one line, with `\n`, `\x1b`, `\u202e` for what is not visible.

    Controls (C0, C1), format characters (bidirectional, zero-width), line separators, unassigned
    characters and halves of surrogate pairs are escaped. Escaping twice changes nothing more.
    """
    if _PLAIN.fullmatch(text):
        return text
    return "".join(character if _is_visible(character) else _code(character) for character in text)


def escaped_lines(text: str) -> str:
    """Return `text` with its line breaks, and every line escaped."""
    return "\n".join(escaped(line) for line in text.split("\n"))


def _is_visible(character: str) -> bool:
    if character in _SPACES:
        return True
    return character.isprintable() and character not in _INVISIBLE


def _code(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
