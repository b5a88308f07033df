"""Camera addresses: `scheme://place?key=value`, read once, strictly and without I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from edge.cameras.query import Query
from edge.errors import ConfigError

_SECRET_KEYS = re.compile(
    r"((?:^|[?&;/_])(?:[\w-]*(?:passw|pwd|token|secret|auth|api_?key|credential|signature)[\w-]*"
    r"|user|username|pass|key|sig)=)[^&#\s]*",
    re.IGNORECASE,
)
_NAMES_OF_SECRETS = re.compile(r"_(?:env|file)=$")
_USERINFO = re.compile(r"\b((?!file:|test:|v4l2:)[a-z][a-z0-9+.-]*://)\S*@", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """An address in its parts; `shown` is the one to print.

    Attributes:
        scheme: lower case, without `://`.
        place: what stands between `://` and `?`, still percent-encoded.
        query: the keys behind the `?`.
        shown: the whole address without credentials.
    """

    scheme: str
    place: str
    query: Query
    shown: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Split `text` at the first `://` and the first `?`."""
        shown = redacted(text)
        scheme, separator, rest = text.partition("://")
        if not separator:
            raise ConfigError(f"camera address {shown}: expected scheme://…, such as file:///data")
        if "\0" in unquote(text):
            raise ConfigError(f"camera address {shown}: not an address: it holds a NUL character")
        place, _, query = rest.partition("?")
        return cls(scheme.lower(), place, Query(shown, query), shown)


def redacted(text: str) -> str:
    """Hide user and password of every address in `text`, and query values that are secrets.

    Rather too much is hidden than too little: everything up to the last `@` of an address counts
    as credentials, except in file, v4l2 and test addresses, which have none.
    """

    def hide(match: re.Match[str]) -> str:
        names_only = _NAMES_OF_SECRETS.search(match.group(1))
        return match.group(0) if names_only else f"{match.group(1)}***"

    return _SECRET_KEYS.sub(hide, _USERINFO.sub(r"\1***@", text))
