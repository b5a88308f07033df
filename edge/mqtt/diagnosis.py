"""Why a connection could not be made or used, and what to check: one line each."""

from __future__ import annotations

import socket
import ssl

from paho.mqtt.reasoncodes import ReasonCode

from edge.mqtt.guarded_client import GuardedClient

_UNSUPPORTED_VERSION = 132
_REFUSED_LOGIN = (134, 135)  # bad user name or password, not authorised
_TLS_ALERT = b"\x15\x03"
_REASON_S = 1.0
# What OpenSSL says of the broker's certificate (X509_V_ERR_...) -> what to do.
_CERTIFICATE_ADVICE = {
    9: "check the clocks of this device and of the broker's authority",
    10: "the broker needs a new one; check this device's clock too",
    18: "give this certificate or its authority as tls_ca_certs",
    19: "give its authority as tls_ca_certs",
    20: "give its authority as tls_ca_certs",
    21: "give its authority as tls_ca_certs",
    62: "check that host is a name in it",
    64: "check that host is an address in it",
}
# What OpenSSL reports when the broker refuses our certificate -> the reason in words.
_CLIENT_REFUSED = {
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know its authority",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it is bad",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "it is revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it is not accepted",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "its kind is not supported",
    "TLSV1_ALERT_ACCESS_DENIED": "access denied",
    "TLSV1_ALERT_DECRYPT_ERROR": "its signature does not verify",
}
_NO_TLS = (
    "WRONG_VERSION_NUMBER", "UNEXPECTED_EOF_WHILE_READING", "PACKET_LENGTH_TOO_LONG",
    "HTTP_REQUEST", "RECORD_LAYER_FAILURE",
)  # fmt: skip
_NO_TLS_ADVICE = (
    "no TLS connection: the other side answers no TLS; check host, port and tls: is it a plain "
    "port?"
)


def why_not_connected(error: Exception, *, has_certificate: bool, is_tls: bool) -> str:
    """Say why a connection could not be made.

    Args:
        error: what connecting raised.
        has_certificate: we present a client certificate.
        is_tls: we speak TLS.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        todo = _CERTIFICATE_ADVICE.get(
            error.verify_code, "check tls_ca_certs, and that host is a name in it"
        )
        return f"its certificate is refused: {error.verify_message.rstrip('.')}; {todo}"
    if isinstance(error, ssl.SSLError):
        return _tls_advice(error, has_certificate=has_certificate)
    if isinstance(error, TimeoutError):
        return "no answer in time; check host, port and network"
    if isinstance(error, ConnectionResetError) and is_tls:
        return _NO_TLS_ADVICE
    text = getattr(error, "strerror", None) or error
    return f"cannot connect: {text}; check host, port and tls, and that the broker runs"


def is_old(answer: ReasonCode | None) -> bool:
    """Tell whether the broker answered that it does not speak our protocol version."""
    return answer is not None and answer.value == _UNSUPPORTED_VERSION


def why_refused(answer: ReasonCode) -> str:
    """Say what the broker's refusal means."""
    what = "check user and password" if answer.value in _REFUSED_LOGIN else "see its log"
    return f"refuses the connection: {answer}; {what}"


def tls_refusal(host: str, port: int, context: ssl.SSLContext) -> ssl.SSLError | None:
    """Ask a broker that ended a connection for its reason; None when it gives none.

    With TLS 1.3 a broker refuses our certificate after the handshake. Its word is mostly lost once
    we have sent CONNECT, because the connection is then reset; so nothing is sent here.
    """
    try:
        with (
            socket.create_connection((host, port), _REASON_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            secured.recv(1)
    except ssl.SSLError as error:
        return error
    except (OSError, ValueError):
        return None
    return None


def why_silent(
    client: GuardedClient, *, has_certificate: bool, is_tls: bool, is_closed: bool
) -> str:
    """Say what it may mean that CONNECT got no answer.

    Args:
        client: what asked.
        has_certificate: we presented a client certificate.
        is_tls: we speak TLS.
        is_closed: the other side ended the connection.
    """
    expected = "expected an MQTT broker, got no answer to CONNECT"
    if isinstance(client.socket_error, ssl.SSLError):
        return _tls_advice(client.socket_error, has_certificate=has_certificate)
    if client.first_bytes.startswith(_TLS_ALERT) and not is_tls:
        return f"{expected} but TLS; set tls: true; check host, port and tls"
    if client.fault:
        return f"{expected}: it {client.fault}; check host, port and tls"
    if is_closed and is_tls:
        what = (
            "it may refuse the client certificate (tls_client_cert)"
            if has_certificate
            else "it may demand a client certificate (tls_client_cert, tls_client_key)"
        )
        return f"{expected}: it ended the connection after the TLS handshake; {what}, see its log"
    if is_closed:
        return f"{expected}: it ended the connection; check host, port and tls"
    return f"{expected}; check host, port and tls"


def _tls_advice(error: ssl.SSLError, *, has_certificate: bool) -> str:
    reason = error.reason or str(error)
    demand = "demands a client certificate; set tls_client_cert and tls_client_key"
    if reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED":
        return demand
    if reason == "SSLV3_ALERT_HANDSHAKE_FAILURE" and not has_certificate:
        return f"ended the TLS handshake; it perhaps {demand}"
    if reason in _CLIENT_REFUSED:
        if not has_certificate:
            return demand
        return (
            f"refuses the client certificate: {_CLIENT_REFUSED[reason]}; check tls_client_cert and "
            f"the broker's list of authorities"
        )
    if reason in _NO_TLS:
        return _NO_TLS_ADVICE
    return f"no TLS connection: {reason}; check host, port and tls, and the client certificate"
