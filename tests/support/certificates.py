"""Authorities and certificates made with openssl, and files in the PEM form."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

OPENSSL = shutil.which("openssl")
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def openssl(folder: Path, *arguments: str) -> None:
    """Run it in `folder`; skips where it is not installed."""
    if OPENSSL is None:
        pytest.skip("openssl is not installed")
    subprocess.run([OPENSSL, *arguments], cwd=folder, check=True, capture_output=True)


def make_authority(folder: Path, name: str) -> None:
    """Write `name`.key and `name`.pem of an authority that nobody knows yet."""
    openssl(
        folder, "req", "-x509", *NEW_KEY, "-keyout", f"{name}.key", "-out", f"{name}.pem",
        "-days", "2", "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip


def make_certificate(folder: Path, name: str, subject: str, alt_name: str, days: str = "2") -> None:
    """Write `name`.key and `name`.pem, signed by the authority `ca` in `folder`."""
    (folder / f"{name}.ext").write_text(f"subjectAltName={alt_name}\n")
    openssl(
        folder, "req", *NEW_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr",
        "-subj", f"/CN={subject}",
    )  # fmt: skip
    openssl(
        folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
        "-CAcreateserial", "-days", days, "-out", f"{name}.pem", "-extfile", f"{name}.ext",
    )  # fmt: skip


def lock_key(folder: Path, source: str, name: str) -> None:
    """Write the key `source` to `name`, behind a passphrase."""
    openssl(folder, "ec", "-in", source, "-aes128", "-passout", "pass:geheim", "-out", name)
