"""Who signed a bundle: a detached Ed25519 signature beside bundle.json, and the keys one trusts.

bundle.json holds the hash of every other file, so a signature over it covers the whole bundle. What
is signed are a few lines (see `_message`) and then the exact bytes of bundle.json; name and time
can be changed as little as the bundle.
"""

from __future__ import annotations

import base64
import hashlib
from binascii import Error as Base64Error
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, ValidationError

from edge.bundle.contents import read_file
from edge.bundle.manifest import MANIFEST, SIGNATURE
from edge.bundle.strict_json import parse_json
from edge.bundle.values import Words
from edge.config.reader import Settings
from edge.config.trust import PEM, TrustSettings
from edge.errors import BundleCorrupt, BundleError, ConfigError

SIGNATURE_SCHEMA: Final = "edge-infer.signature/1"
MAX_BYTES: Final = 64 * 2**10


class Signature(Settings):
    """signature.json: who signed bundle.json, and when.

    Attributes:
        key_id: of the public key, see `key_id`.
        who: name of the signer; empty for none.
        when: RFC 3339, UTC.
        signature: Ed25519, 64 bytes in base64.
    """

    schema_: Literal["edge-infer.signature/1"] = Field(default=SIGNATURE_SCHEMA, alias="schema")
    key_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    who: Words | Literal[""] = ""
    when: Words
    signature: str = Field(pattern=r"^[A-Za-z0-9+/]{86}==$")

    @property
    def signer(self) -> str:
        """The name of the signer, or the key where there is none."""
        return self.who or self.key_id


@dataclass(frozen=True, slots=True)
class Trust:
    """Public keys by their id, and whether a bundle must be signed by one of them."""

    is_required: bool = False
    keys: dict[str, Any] = field(default_factory=dict)


def read_trust(settings: TrustSettings) -> Trust:
    """Read the public keys of a station file.

    Raises:
        ConfigError: one is no Ed25519 public key, or cannot be read.
    """
    keys = (public_key(text) for text in settings.public_keys)
    return Trust(settings.require_signature, {key_id(key): key for key in keys})


def check_signature(folder: Path, manifest: bytes, trust: Trust) -> str | None:
    """Verify a bundle's signature by the keys of `trust`; return who signed, None if nobody did.

    Without keys a signature says nothing, and the bundle counts as unsigned.

    Raises:
        BundleError: it is not signed and must be, or by another key.
        BundleCorrupt: the signature is unreadable, or of other contents.
    """
    try:
        is_signed = bool((folder / SIGNATURE).lstat())
    except OSError:
        is_signed = False
    if not is_signed:
        if trust.is_required:
            raise BundleError(
                f"bundle {folder}: expected a signature, found none; sign it: edge-bundle sign "
                f"{folder} --key FILE"
            )
        return None
    if not trust.keys and not trust.is_required:
        return None
    found = read_signature(folder)
    key = trust.keys.get(found.key_id)
    if key is None:
        raise BundleError(
            f"bundle {folder}: signed with key {found.key_id}, expected one of "
            f"{', '.join(trust.keys) or 'none'}; add its public key to trust.public_keys, or sign "
            "it with a trusted key"
        )
    if not _is_of(key, found, manifest):
        raise BundleCorrupt(
            f"bundle {folder}: {SIGNATURE} is not of this {MANIFEST}; the bundle was changed "
            "after it was signed: sign it again, or copy it again"
        )
    return found.signer


def read_signature(folder: Path) -> Signature:
    """Read signature.json without verifying it.

    Raises:
        BundleCorrupt: it is absent or unreadable.
    """
    data = read_file(folder, SIGNATURE, MAX_BYTES)
    try:
        parse_json(data)
        return Signature.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
    except ValueError as error:
        reason = str(error)
    raise BundleCorrupt(f"bundle {folder}: {SIGNATURE}: {reason}; sign the bundle again")


def make_signature(private_key: Any, manifest: bytes, who: str, when: str) -> Signature:
    """Sign the bytes of a bundle.json."""
    unsigned = Signature(
        key_id=key_id(private_key.public_key()), who=who, when=when, signature="A" * 86 + "=="
    )
    made = private_key.sign(_message(unsigned, manifest))
    return unsigned.model_copy(update={"signature": base64.b64encode(made).decode()})


def key_id(key: Any) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the 32 bytes of a public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def public_key(text: str) -> Any:
    """Read an Ed25519 public key: PEM, 32 bytes in base64, or the path of a file with either.

    Raises:
        ConfigError: it is none, or the file cannot be read.
    """
    if text.lstrip().startswith(PEM) or _raw(text) is not None:
        return _parsed(text, "trust.public_keys")
    try:
        with Path(text).open(encoding="ascii") as stream:
            return _parsed(stream.read(MAX_BYTES), text)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise ConfigError(f"{text}: cannot be read as a public key: {reason}") from None


def _parsed(text: str, where: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    raw = _raw(text)
    try:
        key = load_pem_public_key(text.encode()) if raw is None else None
        found = Ed25519PublicKey.from_public_bytes(raw) if raw is not None else key
    except (ValueError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, Ed25519PublicKey):
        raise ConfigError(
            f"{where}: expected an Ed25519 public key, as PEM or 32 bytes in base64; make a pair "
            "with edge-bundle keygen"
        )
    return found


def _raw(text: str) -> bytes | None:
    """Return the 32 bytes that a text stands for in base64, None if it does not."""
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (Base64Error, ValueError):
        return None
    return raw if len(raw) == 32 else None


def _is_of(key: Any, signature: Signature, manifest: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(base64.b64decode(signature.signature), _message(signature, manifest))
    except InvalidSignature:
        return False
    return True


def _message(signature: Signature, manifest: bytes) -> bytes:
    """Build what is signed: no line can hold a line break, so no two readings are possible."""
    lines: Iterable[str] = (SIGNATURE_SCHEMA, signature.key_id, signature.who, signature.when)
    return "".join(f"{line}\n" for line in lines).encode() + manifest
