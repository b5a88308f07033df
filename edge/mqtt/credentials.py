"""User, password and TLS context, read from where the settings say at every connect.

Reading late lets a rotated password or certificate work without a restart, and keeps secrets out of
objects that could be logged.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from edge.config.mqtt import MqttSettings
from edge.errors import ConfigError
from edge.messages.signature import SigningKey, parse_signing_key
from edge.secret_file import check_secret_file, read_key_file, read_secret


def read_login(settings: MqttSettings) -> tuple[str | None, str | None]:
    """Return user and password, None for what the settings do not name.

    Raises:
        ConfigError: the variable or file is missing, or others can read the file.
    """
    user = settings.user
    if settings.user_env:
        user = _variable("user_env", settings.user_env)
    if settings.password_env:
        return user, _variable("password_env", settings.password_env)
    if settings.password_file is None:
        return user, None
    return user, read_secret(settings.password_file, "mqtt.password_file")


def read_signing_key(settings: MqttSettings) -> SigningKey | None:
    """Return the key that results are signed with, None if the settings name none.

    Raises:
        ConfigError: the variable or file is missing or holds no key, or others can read the file.
    """
    if settings.signing_key_env:
        text = _variable("signing_key_env", settings.signing_key_env)
        return parse_signing_key(text, f"mqtt.signing_key_env: {settings.signing_key_env}")
    if settings.signing_key_file is None:
        return None
    what, path = "mqtt.signing_key_file", settings.signing_key_file
    return parse_signing_key(read_secret_text(path, what), f"{what}: {path}")


def read_secret_text(path: Path, what: str) -> str:
    """Return the text of a file that holds a key, of one or more lines.

    Raises:
        ConfigError: it cannot be read, others can read it, or it is no text.
    """
    try:
        return read_key_file(path, what).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what}: {path}: expected text in UTF-8; is it another file?") from error


def tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    """Return the TLS rules, None without TLS.

    `tls_insecure` turns off the check of the server's name only: its certificate must still come
    from the authority that the settings trust.

    Raises:
        ConfigError: a certificate or key cannot be loaded, or others can read the key.
    """
    if not settings.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_certs)
    except OSError as error:
        raise ConfigError(
            f"mqtt.tls_ca_certs: {settings.tls_ca_certs}: expected a PEM file, got {error}"
        ) from error
    if settings.tls_client_cert and settings.tls_client_key:
        check_secret_file(settings.tls_client_key, "mqtt.tls_client_key")
        try:
            # An empty passphrase: OpenSSL would ask for one on the terminal and wait.
            context.load_cert_chain(settings.tls_client_cert, settings.tls_client_key, password="")
        except OSError as error:
            raise ConfigError(
                f"mqtt.tls_client_cert, tls_client_key: {settings.tls_client_cert}, "
                f"{settings.tls_client_key}: expected a PEM certificate and its key, got {error}"
            ) from error
    context.check_hostname = not settings.tls_insecure
    return context


def _variable(key: str, name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ConfigError(
            f"mqtt.{key}: expected the environment variable {name}, it is not set; export it"
        )
    return value
