"""Whose bundles a station runs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import Field, ValidationInfo, field_validator, model_validator

from edge.config.reader import Settings
from edge.config.values import resolve_path

PEM: Final = "-----BEGIN PUBLIC KEY-----"
# Base64 of the 32 bytes of an Ed25519 key.
_RAW_LENGTH = 44


class TrustSettings(Settings):
    """Signatures of bundles (edge-bundle sign).

    `require_signature`: run signed bundles only. `public_keys`: Ed25519 keys that may have signed,
    each as PEM, as 32 bytes in base64 or as the path of a file with either. With keys, a bundle
    whose signature is of another key or another content is refused, and one without a signature
    runs only if none is required.
    """

    require_signature: bool = False
    public_keys: tuple[str, ...] = Field(default=(), max_length=100)

    @field_validator("public_keys")
    @classmethod
    def _resolve(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return tuple((_is_key(key) and key) or str(resolve_path(Path(key), info)) for key in value)

    @model_validator(mode="after")
    def _has_keys(self) -> TrustSettings:
        if self.require_signature and not self.public_keys:
            raise ValueError("require_signature needs public_keys: a signature of whom is expected")
        return self


def _is_key(text: str) -> bool:
    text = text.strip()
    return text.startswith(PEM) or (len(text) == _RAW_LENGTH and text.endswith("="))
