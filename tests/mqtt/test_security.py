"""Passwords, rights and certificates: refused clearly, never logged, repaired without a restart."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess

import pytest

from edge.errors import ConfigError, PublishError
from edge.mqtt.link import Link
from tests.mqtt.conftest import assert_nothing_missing, outage, results
from tests.support.brokers import free_port, wait_until
from tests.support.certificates import lock_key, make_authority, make_certificate
from tests.support.mqtt_results import make_settings

# paho leaves the socket of a failed handshake to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
PASSWORD = "correct-horse"


@pytest.fixture
def guarded(make_broker, tmp_path):
    """A Mosquitto that knows the user `edge`, with a right to everything until told otherwise."""
    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("mosquitto_passwd is not installed")
    passwords, rights = tmp_path / "passwords", tmp_path / "rights"
    passwords.touch(mode=0o600)
    for user in ("edge", "viewer"):
        subprocess.run([tool, "-b", str(passwords), user, PASSWORD], check=True)
    rights.write_text("user edge\ntopic readwrite #\nuser viewer\ntopic read #\n")
    options = f"allow_anonymous false\npassword_file {passwords}\nacl_file {rights}"
    broker = make_broker("mosquitto", options)
    broker.rights = rights
    return broker


def watch(listen, broker):
    return listen(broker, username="viewer", password=PASSWORD)


def test_user_and_password_from_the_environment(guarded, listen, make_station, monkeypatch, caplog):
    monkeypatch.setenv("EDGE_USER", "edge")
    monkeypatch.setenv("EDGE_PASSWORD", PASSWORD)
    listener = watch(listen, guarded)
    station = make_station(guarded, user_env="EDGE_USER", password_env="EDGE_PASSWORD")
    station.start()
    station.judge(3)
    wait_until(lambda: len(listener.of("result")) == 3)
    assert PASSWORD not in caplog.text
    assert PASSWORD not in repr(vars(station.publisher._link))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_wrong_password_is_one_line_and_a_corrected_file_helps_without_a_restart(
    guarded, listen, make_station, tmp_path, caplog, protocol
):
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("wrong\n")
    station = make_station(guarded, user="edge", password_file=secret, protocol=protocol)
    station.start()
    station.judge(2)
    wait_until(lambda: station.failures >= 2)
    assert not station.publisher.connected
    assert "check user and password" in caplog.text
    assert caplog.text.count("refuses the connection") == 1, "retried, but logged once"
    assert "wrong" not in caplog.text
    listener = watch(listen, guarded)
    secret.write_text(f"{PASSWORD}\n")
    wait_until(lambda: len(listener.of("result")) == 2)


def test_results_that_the_broker_has_no_right_for_are_kept(guarded, listen, make_station, caplog):
    guarded.rights.write_text(
        "user edge\ntopic write plant/v1/jx-0142/status\nuser viewer\ntopic read #\n"
    )
    guarded._process.send_signal(signal.SIGHUP)
    secret = guarded.rights.with_name("secret")
    secret.touch(mode=0o600)
    secret.write_text(PASSWORD)
    listener = watch(listen, guarded)
    station = make_station(guarded, user="edge", password_file=secret)
    station.judge(3)
    station.writer.start()
    assert station.writer.flush(5)  # all in one window, so that they are refused together
    station.publisher.start()
    station.wait_connected()
    wait_until(lambda: station.publisher.stats["refused"] >= 3)
    assert caplog.text.count("broker refuses results") == 1
    assert caplog.text.count("broker refuses states and alerts: Not authorized") == 1
    assert (station.outbox.depth, station.outbox.lost) == (3, 0)
    guarded.rights.write_text("user edge\ntopic readwrite #\nuser viewer\ntopic read #\n")
    guarded._process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(listener.of("result")) == 3)
    assert_nothing_missing(results(listener), station.made)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"password_env": "EDGE_NOT_SET"}, "expected the environment variable EDGE_NOT_SET"),
        ({"user_env": "EDGE_NOT_SET"}, "mqtt.user_env: expected the environment variable"),
        ({"password_file": "/nowhere/secret"}, "mqtt.password_file: /nowhere/secret: expected"),
        ({"tls": True, "tls_ca_certs": "/nowhere/ca.pem"}, "mqtt.tls_ca_certs: /nowhere/ca.pem"),
    ],
)
def test_a_missing_secret_is_an_error_at_the_start(settings, message):
    with pytest.raises(ConfigError, match=message):
        Link(make_settings(1883, **settings), "id")


def test_a_password_or_key_that_others_can_read_is_refused(tmp_path, certificates):
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o640)
    message = r"mqtt\.password_file: .*secret: others can read it \(mode 0640\); chmod 600"
    with pytest.raises(ConfigError, match=message):
        Link(make_settings(1883, user="edge", password_file=secret), "id")
    secret.chmod(0o600)
    Link(make_settings(1883, user="edge", password_file=secret), "id").close()
    key = tmp_path / "client.key"
    shutil.copy(certificates / "client.key", key)
    files = {"tls_client_cert": certificates / "client.pem", "tls_client_key": key}
    key.chmod(0o644)
    with pytest.raises(ConfigError, match=r"mqtt\.tls_client_key: .*client\.key: others can read"):
        Link(make_settings(8883, tls=True, **files), "id")
    key.chmod(0o400)
    Link(make_settings(8883, tls=True, **files), "id").close()


def test_a_key_with_a_passphrase_is_refused_and_asks_nobody(tmp_path, certificates):
    key = tmp_path / "client.key"
    lock_key(tmp_path, str(certificates / "client.key"), str(key))
    key.chmod(0o600)
    files = {"tls_client_cert": certificates / "client.pem", "tls_client_key": key}
    with pytest.raises(ConfigError, match="expected a PEM certificate and its key, got"):
        Link(make_settings(8883, tls=True, **files), "id")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ca", "stranger"):
        make_authority(folder, name)
    make_certificate(folder, "server", "localhost", "DNS:localhost,IP:127.0.0.1")
    make_certificate(folder, "elsewhere", "elsewhere", "DNS:elsewhere.example")
    make_certificate(folder, "client", "jx-0142", "DNS:jx-0142")
    make_certificate(folder, "expired", "localhost", "IP:127.0.0.1", days="0")
    return folder


@pytest.fixture
def make_tls_broker(make_broker, certificates):
    """A Mosquitto with a plain port for the listener and a TLS port for the station."""

    def _make(name="server", extra=""):
        port = free_port()
        options = (
            f"allow_anonymous true\nlistener {port} 127.0.0.1\ncafile {certificates}/ca.pem\n"
            f"certfile {certificates}/{name}.pem\nkeyfile {certificates}/{name}.key\n{extra}"
        )
        broker = make_broker("mosquitto", options)
        broker.tls_port = port
        return broker

    return _make


def refusal(port, **settings):
    link = Link(make_settings(port, tls=True, **settings), "id")
    try:
        with pytest.raises(PublishError) as caught:
            link.connect(5)
    finally:
        link.close()
    return str(caught.value)


def test_results_travel_over_tls_and_survive_a_restart_of_the_broker(
    make_tls_broker, certificates, listen, make_station
):
    broker = make_tls_broker()
    listener = listen(broker)
    ca = certificates / "ca.pem"
    station = make_station(
        broker, port=broker.tls_port, tls=True, tls_ca_certs=ca, host="localhost"
    ).start()
    station.wait_connected()
    station.judge(200)
    wait_until(lambda: len(listener.of("result")) == 200)
    with outage(broker, station, listener):
        station.judge(50)
    wait_until(lambda: station.outbox.depth == 0)
    assert station.stop()
    listener.wait_status("stopped")
    assert_nothing_missing(results(listener), station.made)


def test_an_unknown_authority_or_another_name_is_refused(make_tls_broker, certificates):
    port = make_tls_broker().tls_port
    assert "its certificate is refused" in refusal(port)
    stranger = refusal(port, tls_ca_certs=certificates / "stranger.pem")
    assert "its certificate is refused" in stranger
    elsewhere = make_tls_broker("elsewhere").tls_port
    message = refusal(elsewhere, tls_ca_certs=certificates / "ca.pem")
    assert "its certificate is refused" in message
    assert "127.0.0.1" in message


def test_tls_insecure_skips_the_name_only_and_says_so_lastingly(
    make_tls_broker, certificates, listen, make_station
):
    broker = make_tls_broker("elsewhere")
    listener = listen(broker)
    settings = {"tls": True, "tls_insecure": True}
    ca = certificates / "ca.pem"
    station = make_station(broker, port=broker.tls_port, tls_ca_certs=ca, **settings).start()
    station.wait_connected()
    wait_until(lambda: listener.of("active"))
    (alert,) = json.loads(listener.of("active")[0].payload)["alerts"]
    assert (alert["code"], alert["severity"]) == ("tls_insecure", "warning")
    stranger = refusal(
        broker.tls_port, tls_insecure=True, tls_ca_certs=certificates / "stranger.pem"
    )
    assert "its certificate is refused" in stranger


def test_a_client_certificate_is_presented_when_asked_for(
    make_tls_broker, certificates, make_station
):
    broker = make_tls_broker(extra="require_certificate true")
    settings = {"tls_ca_certs": certificates / "ca.pem"}
    assert "a client certificate" in refusal(broker.tls_port, **settings)
    station = make_station(
        broker,
        port=broker.tls_port,
        tls=True,
        tls_client_cert=certificates / "client.pem",
        tls_client_key=certificates / "client.key",
        **settings,
    ).start()
    station.wait_connected()


def test_plain_text_to_a_tls_port_and_the_reverse_are_explained(make_tls_broker):
    broker = make_tls_broker()
    link = Link(make_settings(broker.tls_port), "id")
    with pytest.raises(PublishError, match="check host, port and tls"):
        link.connect(3)
    link.close()
    assert "check host, port and tls" in refusal(broker.port)


def test_a_client_certificate_that_cannot_be_read_is_an_error_at_the_start(certificates):
    settings = make_settings(
        8883,
        tls=True,
        tls_client_cert=certificates / "client.pem",
        tls_client_key=certificates / "server.key",
    )
    with pytest.raises(ConfigError, match=r"mqtt\.tls_client_cert, tls_client_key"):
        Link(settings, "id")


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
def test_a_missing_or_refused_client_certificate_is_named(make_tls_broker, certificates, version):
    """With TLS 1.3 the refusal comes after the handshake, as the answer to CONNECT."""
    broker = make_tls_broker(extra=f"require_certificate true\ntls_version {version}")
    ca = {"tls_ca_certs": certificates / "ca.pem"}
    missing = refusal(broker.tls_port, **ca)
    assert "demands a client certificate; set tls_client_cert and tls_client_key" in missing
    foreign = refusal(
        broker.tls_port,
        tls_client_cert=certificates / "stranger.pem",
        tls_client_key=certificates / "stranger.key",
        **ca,
    )
    assert "refuses the client certificate: it does not know its authority" in foreign


def test_an_expired_certificate_of_the_broker_is_named(make_tls_broker, certificates):
    port = make_tls_broker("expired").tls_port
    message = refusal(port, tls_ca_certs=certificates / "ca.pem")
    assert "its certificate is refused: certificate has expired" in message


def test_plain_and_tls_ports_are_told_apart(make_tls_broker):
    broker = make_tls_broker()
    assert "is it a plain port?" in refusal(broker.port)
    link = Link(make_settings(broker.tls_port), "id")
    with pytest.raises(PublishError, match="got no answer to CONNECT"):
        link.connect(3)
    link.close()
