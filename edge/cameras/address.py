"""Camera addresses: `scheme://place?key=value`, read once, strictly and without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from edge.cameras.query import Query
from edge.errors import ConfigError
from edge.redaction import redacted_address


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
        shown = redacted_address(text)
        scheme, separator, rest = text.partition("://")
        if not separator:
            raise ConfigError(f"camera address {shown}: expected scheme://…, such as file:///data")
        if "\0" in unquote(text):
            raise ConfigError(f"camera address {shown}: not an address: it holds a NUL character")
        place, _, query = rest.partition("?")
        return cls(scheme.lower(), place, Query(shown, query), shown)
