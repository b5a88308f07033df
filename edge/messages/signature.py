"""Signed payloads: a forged or altered result is told from one of the station's.

What is signed is the canonical JSON (RFC 8785) of the whole payload with `signature.alg` and
`signature.key_id` and without `signature.value`. The key decides the algorithm, never the message.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from edge.errors import ConfigError
from edge.messages.canonical_json import canonical_json
from edge.messages.payload import Payload

# 128 random bits take 22 characters of base64; a word that one remembers has fewer.
LEAST_CHARACTERS = 22
_PEM = "-----BEGIN "


class VerifyKey(Protocol):
    """What a signature can be checked with; `id` names it in messages."""

    @property
    def alg(self) -> str:
        """Name of the algorithm."""

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits that name the key."""

    def verify(self, data: bytes, value: bytes) -> bool:
        """Tell whether `value` is this key's signature of `data`."""


class SigningKey(VerifyKey, Protocol):
    """What can sign, too."""

    def sign(self, data: bytes) -> bytes:
        """Return the signature of `data`."""


@dataclass(frozen=True, slots=True)
class HmacKey:
    """A secret that signer and verifier share: who can verify can sign, too."""

    secret: bytes = field(repr=False)
    alg: str = "hmac-sha256"

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits that name the secret and do not tell it."""
        return hashlib.sha256(b"edge-infer key\n" + self.secret).hexdigest()[:16]

    def sign(self, data: bytes) -> bytes:
        """Return the 32 bytes of the HMAC."""
        return hmac.digest(self.secret, data, "sha256")

    def verify(self, data: bytes, value: bytes) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self.sign(data), value)


@dataclass(frozen=True, slots=True)
class Ed25519Key:
    """A pair of keys, or its public half alone, which can only verify."""

    public: Any
    private: Any = field(default=None, repr=False)
    alg: str = "ed25519"

    @property
    def id(self) -> str:
        """First sixteen hexadecimal digits of the SHA-256 of the public key's 32 bytes."""
        return hashlib.sha256(self.public.public_bytes_raw()).hexdigest()[:16]

    def sign(self, data: bytes) -> bytes:
        """Return the 64 bytes of the signature."""
        return bytes(self.private.sign(data))

    def verify(self, data: bytes, value: bytes) -> bool:
        """Check with the public key."""
        from cryptography.exceptions import InvalidSignature

        try:
            self.public.verify(value, data)
        except InvalidSignature:
            return False
        return True


def parse_signing_key(text: str, what: str) -> SigningKey:
    """Read what a station signs with: an Ed25519 private key as PEM, else a secret on one line.

    Args:
        text: of the file or variable.
        what: names it in messages.

    Raises:
        ConfigError: it is neither.
    """
    key = parse_verify_key(text, what)
    if isinstance(key, Ed25519Key) and key.private is None:
        raise ConfigError(f"{what}: expected a private key, found the public one; it cannot sign")
    return key


def parse_verify_key(text: str, what: str) -> HmacKey | Ed25519Key:
    """Read what signatures are verified with: an Ed25519 key as PEM, else a secret on one line.

    Raises:
        ConfigError: it is neither.
    """
    text = text.removeprefix("\ufeff").strip()
    if text.startswith(_PEM):
        return _parse_pem(text, what)
    if len(text) < LEAST_CHARACTERS or not text.isprintable():
        raise ConfigError(
            f"{what}: expected an Ed25519 key as PEM, or a secret of at least {LEAST_CHARACTERS} "
            f"characters on one line; make one with: openssl rand -base64 32"
        )
    return HmacKey(text.encode())


def signed(payload: Payload, key: SigningKey) -> Payload:
    """Return the payload with its signature; one that it has is replaced."""
    named = {**payload, "signature": {"alg": key.alg, "key_id": key.id}}
    value = base64.b64encode(key.sign(canonical_json(named))).decode("ascii")
    return {**named, "signature": {**named["signature"], "value": value}}


def signature_problem(payload: Payload, keys: Mapping[str, VerifyKey]) -> str | None:
    """Return why a payload is not what the owner of one of `keys` (by id) signed, else None."""
    signature = payload.get("signature")
    if signature is None:
        return "unsigned"
    if not isinstance(signature, dict) or set(signature) != {"alg", "key_id", "value"}:
        return "unsigned: its signature is none"
    if not all(isinstance(text, str) for text in signature.values()):
        return "unsigned: its signature is none"
    key = keys.get(signature["key_id"])
    if key is None or signature["alg"] != key.alg:
        return f"forged: signed with another key, {signature['key_id'][:16]}"
    named = {name: value for name, value in signature.items() if name != "value"}
    try:
        value = base64.b64decode(signature["value"], validate=True)
        is_right = key.verify(canonical_json({**payload, "signature": named}), value)
    except (binascii.Error, ValueError, TypeError, RecursionError):  # no base64, no plain JSON
        is_right = False
    return None if is_right else "altered or forged: the signature is of something else"


def _parse_pem(text: str, what: str) -> Ed25519Key:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )
    from cryptography.hazmat.primitives.serialization import (
        load_pem_private_key,
        load_pem_public_key,
    )

    key: Any = None
    try:
        if "PRIVATE" in text[:40]:
            key = load_pem_private_key(text.encode(), password=None)
        else:
            key = load_pem_public_key(text.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass
    if isinstance(key, Ed25519PrivateKey):
        return Ed25519Key(key.public_key(), key)
    if isinstance(key, Ed25519PublicKey):
        return Ed25519Key(key)
    raise ConfigError(
        f"{what}: expected an Ed25519 key without a password, as PEM; make a pair with: "
        f"edge-bundle keygen"
    )
