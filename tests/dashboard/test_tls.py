"""The pages over TLS: served with certificate and key, and refused in one line without them."""

from __future__ import annotations

import http.client
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.dashboard.accounts import FILE
from tests.support.brokers import free_port, wait_until
from tests.support.certificates import lock_key, make_authority, make_certificate
from tests.support.dashboards import PASSWORD, accounts_json

COMMAND = Path(sys.executable).parent / "edge-dashboard"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ca", "stranger"):
        make_authority(folder, name)
    make_certificate(folder, "page", "page", "IP:127.0.0.1")
    lock_key(folder, "page.key", "locked.key")
    return folder


def write_settings(folder: Path, port: int, listen: str) -> Path:
    folder.mkdir(mode=0o700)
    (folder / FILE).write_bytes(accounts_json())
    (folder / FILE).chmod(0o600)
    file = folder / "dashboard.yaml"
    file.write_text(
        f"folder: {folder}\nmqtt: {{host: 127.0.0.1, port: {free_port()}}}\n"
        f"listen: {{port: {port}, {listen}}}\n"
    )
    return file


@contextmanager
def serving(file: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen([COMMAND, "serve", "--file", file], stdout=out, stderr=out)
        try:
            yield process
        finally:
            process.terminate()
            # As the help of edge-dashboard says.
            assert process.wait(30) == 0, log.read_text()


def ask(
    port: int, authority: Path, method: str, path: str, body: str = ""
) -> http.client.HTTPResponse:
    """Ask as a browser that trusts one authority, and looks at the name in the certificate."""
    context = ssl.create_default_context(cafile=authority)
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context)
    try:
        connection.request(
            method, path, body, {"content-type": "application/x-www-form-urlencoded"}
        )
        response = connection.getresponse()
        response.body = response.read()
        return response
    finally:
        connection.close()


def test_pages_are_fetched_with_the_certificate_verified(
    certificates: Path, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    files = f"tls_cert: {certificates}/page.pem, tls_key: {certificates}/page.key"
    with serving(write_settings(tmp_path / "data", port, files), log) as process:

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return ask(port, certificates / "ca.pem", "GET", "/login").status == 200
            except ConnectionRefusedError:
                return False

        wait_until(answers, 60, "the page being served")
        assert f"pages at https://127.0.0.1:{port}/" in log.read_text()
        form = f"name=viewer&password={PASSWORD.replace(' ', '+')}"
        signed_in = ask(port, certificates / "ca.pem", "POST", "/login", form)
        assert signed_in.status == 303
        assert "; Secure" in signed_in.headers["set-cookie"], "the cookie goes over TLS alone"
        with pytest.raises(ssl.SSLCertVerificationError):
            ask(port, certificates / "stranger.pem", "GET", "/login")
        plain = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        plain.request("GET", "/login")
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            plain.getresponse()
        plain.close()


@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ("tls_cert: {0}/page.pem", "listen: expected tls_cert and tls_key together"),
        ("tls_cert: {0}/page.pem, tls_key: {0}/none.key", "none.key: no such file"),
        ("tls_cert: {0}/page.pem, tls_key: {0}/ca.key", "key values mismatch"),
        ("tls_cert: {0}/page.key, tls_key: {0}/page.key", "certificate and its key as PEM"),
        ("tls_cert: {0}/page.pem, tls_key: {0}/locked.key", "certificate and its key as PEM"),
    ],
    ids=["no key", "no such key", "another key", "no certificate", "a passphrase"],
)
def test_what_does_not_fit_is_refused_in_one_line(
    certificates: Path, tmp_path: Path, listen: str, said: str
) -> None:
    """Nobody is asked for a passphrase: the command has a terminal here, and does not wait."""
    file = write_settings(tmp_path / "data", free_port(), listen.format(certificates))
    ours, theirs = os.openpty()
    try:
        ended = subprocess.run(
            [COMMAND, "serve", "--file", file], stdin=theirs, capture_output=True, text=True,
            timeout=120, check=False, start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert ended.returncode == 2
    lines = [line for line in ended.stderr.splitlines() if "pages at" not in line]
    assert len(lines) == 1, ended.stderr
    assert said in lines[0]
    assert not (tmp_path / "data" / "history.db").exists(), "nothing was begun"
