"""Credentials hidden in what is printed, logged or published.

The only place that knows what a secret looks like. Rather too much is hidden than too little.
Text comes from the net, too: the time it takes grows with its length, not faster.
"""

from __future__ import annotations

import re

from edge.printable_text import escaped

HIDDEN = "***"
# An at sign, also percent-encoded once or twice, and the wide forms that URLs treat as one.
_AT = re.compile(r"[@＠﹫]|%(?:25)*40")
_COLON = re.compile(r"[:：]|%(?:25)*3A", re.IGNORECASE)
_SLASH = r"(?:[/\\]|%(?:25)*2F)"
# Addresses of files and of test pictures have no user.
_SCHEME = re.compile(
    rf"(?<![A-Za-z0-9+.-])(?!(?:file|test|v4l2):)[a-z][a-z0-9+.-]*(?:{_COLON.pattern}){_SLASH}*",
    re.IGNORECASE,
)
# Where a password with a space in it may begin: `rtsp://user:`, but not `rtsp://host:554`.
_USER = re.compile(
    rf"{_SCHEME.pattern}(?=[^\s/@:]{{1,99}}:)(?![^\s:]{{1,99}}:\d{{1,5}}(?:[\s/:;,]|$))",
    re.IGNORECASE,
)
_NO_USER = re.compile(r"(?:file|test|v4l2)://", re.IGNORECASE)
_SECRET = (
    r"[\w-]{0,40}(?:passw|passphrase|pwd|token|secret|auth|api_?key|credential|signature)"
    r"[\w-]{0,40}"
)
_LOGIN = r"(?:user|proxy)-(?:id|pw)"  # of GStreamer's elements
_QUERY = rf"((?:^|[?&;/_\s])(?:{_SECRET}|{_LOGIN}|user|username|pass|key|sig)=)"
_VALUE_IN_TEXT = re.compile(rf"{_QUERY}[^&#\s]*", re.IGNORECASE)
_VALUE_IN_ADDRESS = re.compile(rf"{_QUERY}[^&#]*", re.IGNORECASE)
_FIELD = re.compile(
    rf"""((["']){_SECRET}\2\s*:\s*)("[^"]*"|'[^']*'|[^\s,}}\]"']+)""", re.IGNORECASE
)
_HEADER = re.compile(
    r"""(\bAuthorization["']?\s?[:=]\s?["']?(?:\w{1,20}\s)?|\bBearer\s)[^\s"',}\]]+""",
    re.IGNORECASE,
)
_NAMES_OF_SECRETS = re.compile(r"_(?:env|file)[\"']?\s*[=:]\s*$", re.IGNORECASE)


def redacted(text: str) -> str:
    """Hide user and password of every address in running text, and the values of secrets.

    Everything up to the last `@` of an address counts as credentials, with or without a scheme,
    except in file, v4l2 and test addresses, which have none. A bare `name@host` stays.
    """
    if _AT.search(text):
        lines = text.split("\n")
        text = "\n".join(_without_users(line) if _AT.search(line) else line for line in lines)
    return _without_values(text, _VALUE_IN_TEXT)


def redacted_address(text: str) -> str:
    """Hide the credentials of `text`, all of which is one address, however mistyped.

    Nothing before the last `@` is shown but the scheme, whatever stands there. The rest comes in
    one line, with what a terminal would obey made visible.
    """
    end = _last_at(text)
    if end and not _NO_USER.match(text.strip()):
        scheme = _SCHEME.match(text.lstrip())
        # `user:password@host` looks like a scheme: only one that slashes follow is shown.
        is_shown = scheme is not None and scheme.group()[-1] in "/\\"
        text = f"{scheme.group() if scheme and is_shown else ''}{HIDDEN}@{text[end:]}"
    return escaped(_without_values(text, _VALUE_IN_ADDRESS))


def redacted_words(text: str) -> str:
    """Hide all that stands before an `@`, word by word.

    For pieces of an address and of a command line, which a space or a `?` in a password breaks.
    """
    words = re.split(r"([\s('\"]+)", redacted(text))
    return "".join(
        f"{HIDDEN}@{word[end:]}" if 0 < (end := _last_at(word)) < len(word) else word
        for word in words
    )


def _last_at(text: str) -> int:
    """Return where the last at sign of `text` ends, 0 without one."""
    return max((match.end() for match in _AT.finditer(text)), default=0)


def _without_users(line: str) -> str:
    words = re.split(r"(\s+)", _without_spaced_passwords(line))
    return "".join(_without_user(word) for word in words)


def _without_spaced_passwords(line: str) -> str:
    shown, done = [], 0
    for match in _USER.finditer(line):
        start = match.end()
        if start < done:
            continue
        next_address = line.find("://", start)
        end = _last_at(line[start : next_address if next_address > 0 else None])
        if end:
            shown.append(f"{line[done:start]}{HIDDEN}@")
            done = start + end
    return "".join((*shown, line[done:]))


def _without_user(word: str) -> str:
    end = _last_at(word)
    if not end or word[:end].endswith(f"{HIDDEN}@") or _is_path(word[:end]):
        return word
    scheme = _SCHEME.search(word, 0, end)
    if scheme:
        return f"{word[: scheme.end()]}{HIDDEN}@{word[end:]}"
    return f"{HIDDEN}@{word[end:]}" if _COLON.search(word, 0, end) or "//" in word[:end] else word


def _is_path(word: str) -> bool:
    """Tell whether the only address in `word` is one of a file."""
    return bool(_NO_USER.search(word)) and len(_COLON.findall(word)) == 1


def _without_values(text: str, value: re.Pattern[str]) -> str:
    def hide(match: re.Match[str]) -> str:
        names_only = _NAMES_OF_SECRETS.search(match.group(1))
        return match.group() if names_only else f"{match.group(1)}{HIDDEN}"

    return _HEADER.sub(hide, _FIELD.sub(hide, value.sub(hide, text)))
