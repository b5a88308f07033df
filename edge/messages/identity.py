"""Who publishes and what judged: the identities that every payload repeats."""

from __future__ import annotations

import secrets
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timezone


@dataclass(frozen=True, slots=True)
class Identity:
    """One run of one station; `boot_id` is new at every start of the process."""

    node: str
    station: str
    boot_id: str


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The bundle and the engine that judge; hashes are SHA-256 in hexadecimal.

    `parity` is the outcome of comparing the engine with the reference: passed, failed or skipped;
    `product_id` is the product that is inspected; `signed_by` is who signed the bundle by a key
    that the station trusts, None for nobody.
    """

    name: str
    version: str
    bundle_sha256: str
    recipe_id: str
    recipe_version: str
    recipe_sha256: str
    backend: str
    precision: str
    engine_version: str
    engine_key: str
    parity: str
    product_id: str
    signed_by: str | None = None


def uuid7() -> str:
    """Make a UUID version 7 (RFC 9562): milliseconds since 1970, then 74 random bits."""
    value = (time.time_ns() // 1_000_000 & (1 << 48) - 1) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return str(uuid.UUID(int=value))


def rfc3339(moment: datetime) -> str:
    """Write a timezone-aware moment as RFC 3339 in UTC with milliseconds and Z."""
    utc = moment.astimezone(timezone.utc)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"


def now() -> str:
    """Return the present as RFC 3339."""
    return rfc3339(datetime.now(timezone.utc))
