"""Private keys that sign bundles: made once, readable by their owner alone."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from edge.bundle.signature import key_id
from edge.errors import ConfigError, WriteError
from edge.secret_file import read_key_file


def write_key_pair(path: Path) -> tuple[Path, str]:
    """Write a new private key, and its public key beside it as `<path>.pub`, both as PEM.

    Returns:
        The path of the public key and its id.

    Raises:
        ConfigError: one of the files exists.
        WriteError: one cannot be written.
    """
    public_path = path.with_name(f"{path.name}.pub")
    for one in (path, public_path):
        if os.path.lexists(one):
            raise ConfigError(f"{one}: exists, and a key is never replaced; choose another name")
    private = Ed25519PrivateKey.generate()
    public = private.public_key()
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _create(path, secret, 0o600)
    try:
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        _create(public_path, pem, 0o644)
    except WriteError:
        with suppress(OSError):
            path.unlink()
        raise
    return public_path, key_id(public)


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key that nobody but its owner can read.

    Raises:
        ConfigError: it cannot be read, is readable by others, or is no Ed25519 private key.
    """
    data = read_key_file(path, "--key")
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(
            f"{path}: expected an Ed25519 private key without a password, as PEM; make one with "
            "edge-bundle keygen"
        )
    return key


def _create(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, mode)
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise WriteError(path, error.strerror or str(error)) from error
