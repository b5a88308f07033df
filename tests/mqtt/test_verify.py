"""edge-watch --verify over real brokers: what the station signed, and what others made of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import paho.mqtt.client as paho
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from edge.config.mqtt import MqttSettings
from edge.errors import ConfigError
from edge.mqtt.credentials import read_signing_key
from tests.mqtt.conftest import on_one_broker, results
from tests.mqtt.test_watch import Watch, judge_until_seen
from tests.support.brokers import wait_until

SECRET = "c2VjcmV0IHNlY3JldCBzZWNyZXQ="


@pytest.fixture
def keys(tmp_path):
    """Files to sign with and to verify with, by kind."""
    private = Ed25519PrivateKey.generate()
    texts = {
        "hmac": SECRET + "\n",
        "pem": private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "pub": private.public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o644 if name == "pub" else 0o600)
    return {"hmac": (tmp_path / "hmac", tmp_path / "hmac"),
            "ed25519": (tmp_path / "pem", tmp_path / "pub")}  # fmt: skip


class Attacker:
    """Whoever else may write to the broker."""

    def __init__(self, port):
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def send(self, data, topic="plant/v1/jx-0142/st3-top/result"):
        self._client.publish(topic, data, 1).wait_for_publish(5)

    def stop(self):
        self._client.loop_stop()
        self._client.disconnect()


@pytest.fixture
def attacker(broker):
    made = Attacker(broker.port)
    yield made
    made.stop()


@pytest.mark.parametrize("kind", ["hmac", "ed25519"])
def test_signed_results_are_taken_over_any_broker(broker, make_station, keys, kind):
    signing, verifying = keys[kind]
    station = make_station(broker, signing_key_file=signing).start()
    station.wait_connected()
    seen = Watch(broker.port, "--json", "--until-stopped", "--verify", str(verifying))
    judge_until_seen(station, seen)
    station.judge(5)
    assert station.stop()
    code, errors = seen.end()
    assert code == 0, errors
    assert "not verified=0" in errors
    assert len(seen.lines) >= 6
    assert json.loads(seen.lines[0])["signature"]["key_id"]


@on_one_broker
def test_what_others_made_of_it_is_told_loudly(broker, make_station, keys, attacker, listen):
    signing, verifying = keys["ed25519"]
    listener = listen(broker)
    station = make_station(broker, signing_key_file=signing).start()
    station.wait_connected()
    seen = Watch(broker.port, "--json", "--until-stopped", "--verify", str(verifying))
    judge_until_seen(station, seen)
    first = results(listener)[-1]
    unsigned = {name: value for name, value in first.items() if name != "signature"}
    forged = {**first, "result": "pass", "evaluation": 1}
    other = {**first["signature"], "key_id": "0" * 16}
    told = [
        (json.dumps(unsigned), "unsigned"),
        (json.dumps(forged), "altered or forged"),
        (json.dumps({**first, "signature": other}), "forged: "),
        (json.dumps(first), "replayed: it came before"),
        ("{" + '"result":"pass",' + json.dumps(first)[1:], "unsigned: a key is given twice"),
        (b"\xff\x00", "unsigned: "),
        ("[" * 50_000, "unsigned: "),
        (b"", "unsigned: "),
        (json.dumps({"seq": "\x1b[2J\u202e", "result": "\n\x9b"}), "unsigned"),
    ]  # fmt: skip
    for data, _ in told:
        attacker.send(data)
    attacker.send(json.dumps(first), "plant/v1/jx-0142/st4/result")
    station.judge(3)
    wait_until(lambda: len(seen.lines) >= 4)
    assert station.stop()
    code, errors = seen.end()
    assert code == 9
    lines = [line for line in errors.splitlines() if line.startswith("NOT VERIFIED")]
    assert len(lines) == len(told) + 1
    for line, (_, problem) in zip(lines, told, strict=False):
        assert problem in line
    assert "jx-0142/st4 " in lines[-1]
    assert "signed as the result of another station" in lines[-1]
    assert errors.replace("\n", "").isprintable()
    assert f"not verified={len(lines)}" in errors
    assert errors.splitlines()[-1].startswith(f"error: {len(lines)} results were not what")
    ids = [json.loads(line)["msg_id"] for line in seen.lines]
    assert len(ids) == len(set(ids)), "what was not verified is not passed on"


@on_one_broker
def test_an_unsigned_station_is_told(broker, make_station, keys):
    station = make_station(broker).start()
    station.wait_connected()
    seen = Watch(broker.port, "--verify", str(keys["hmac"][1]), "--until-stopped")
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(seen.process.stderr), daemon=True)
    reader.start()
    wait_until(lambda: station.judge(1) or time.sleep(0.1) or lines, 30)
    assert station.stop()
    assert seen.process.wait(10) == 9
    reader.join(5)
    assert lines[0].startswith("NOT VERIFIED jx-0142/st3-top seq=")
    assert lines[0].endswith(" result=fail: unsigned\n")
    assert seen.lines == []
    seen.end()


def settings(**changes):
    return MqttSettings(**changes)


def test_where_the_key_is_read(tmp_path, monkeypatch, keys):
    assert read_signing_key(settings()) is None
    monkeypatch.setenv("KEY", SECRET)
    by_variable = read_signing_key(settings(signing_key_env="KEY"))
    assert by_variable == read_signing_key(settings(signing_key_file=keys["hmac"][0]))
    monkeypatch.delenv("KEY")
    with pytest.raises(ConfigError, match="variable KEY"):
        read_signing_key(settings(signing_key_env="KEY"))
    open_to_all = tmp_path / "open"
    open_to_all.write_text(SECRET)
    open_to_all.chmod(0o644)
    for path, told in (
        (open_to_all, "others can read it"),
        (tmp_path / "none", "No such file"),
        (tmp_path, "regular file"),
        (keys["ed25519"][1], "others can read it"),
    ):
        with pytest.raises(ConfigError, match=told):
            read_signing_key(settings(signing_key_file=path))
    with pytest.raises(ValueError, match="one of signing_key_env and signing_key_file"):
        settings(signing_key_env="KEY", signing_key_file=open_to_all)


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        (SECRET, 0o644, "others can read it"),
        ("short", 0o600, "secret of at least 22 characters"),
        ("-----BEGIN PUBLIC KEY-----\nx\n", 0o644, "expected an Ed25519 key"),
        (None, 0, "No such file"),
    ],
)
def test_a_wrong_key_file_is_one_line(tmp_path, text, mode, told):
    path = tmp_path / "key"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    done = subprocess.run(
        [sys.executable, "-c", "from edge.cli.watch import main; main()", "--verify", str(path)],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
