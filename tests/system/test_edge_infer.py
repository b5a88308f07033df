"""edge-infer as users run it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import onnxruntime
import pytest

from edge.bundle.store import open_bundle
from edge.messages.payload import schema
from tests.support.brokers import BrokerProcess, Listener, free_port, wait_until
from tests.support.bundles import DEMO_BUNDLE
from tests.system.conftest import DEMO_IMAGES, Station, results


def test_a_folder_is_judged_to_its_end(station: Station) -> None:
    done = station.run("--json")
    assert done.returncode == 0, done.stderr
    found = results(done.stdout)
    assert len(found) == 108
    assert [r["seq"] for r in found] == list(range(1, 109))
    assert len({r["msg_id"] for r in found}) == 108
    assert {r["boot_id"] for r in found} == {found[0]["boot_id"]}
    good = [r for r in found if r["part"]["label"] == "good"]
    bad = [r for r in found if r["part"]["label"] != "good"]
    assert sum(r["result"] == "pass" for r in good) >= 42
    assert sum(r["result"] == "fail" for r in bad) >= 45
    for result in found:
        assert result["evaluation"] == {"pass": 1, "fail": 2}[result["result"]]
        assert (result["score"] > result["threshold"]) == (result["result"] == "fail")
        assert bool(result["defects"]) == (result["result"] == "fail")
    assert "parts" in done.stderr
    assert "precision" in done.stderr
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema("result"))
    for result in found:
        validator.validate(result)


def test_regions_lie_on_the_defect(station: Station) -> None:
    """A good picture with one square inverted: a region covers it, and not the whole frame."""
    import cv2

    from edge.bundle.store import open_bundle
    from edge.cameras.source import frame_now
    from edge.config.station import DecisionSettings, EngineSettings
    from edge.engines.load import load_engine
    from edge.inspection.inspector import Inspector
    from tests.system.conftest import DEMO_BUNDLE

    pixels = cv2.imread(str(sorted((DEMO_IMAGES / "good").glob("*.png"))[0]))
    pixels[100:124, 60:84] = 255 - pixels[100:124, 60:84]
    bundle = open_bundle(DEMO_BUNDLE)
    with load_engine(bundle, EngineSettings()) as engine:
        inspector = Inspector(bundle, engine, DecisionSettings())
        inspection, _ = inspector.inspect(frame_now("top", 0, pixels))
    assert inspection.verdict.value == "fail"
    covering = [
        (w, h)
        for x, y, w, h in (region.bbox_xywh for region in inspection.regions)
        if x <= 72 <= x + w and y <= 112 <= y + h
    ]
    assert len(covering) == 1
    assert max(covering[0]) < 128


def test_seq_goes_on_after_a_restart(station: Station) -> None:
    first = results(station.run("--json", "--max-frames", "5").stdout)
    again = results(station.run("--json", "--max-frames", "5").stdout)
    assert [r["seq"] for r in first + again] == list(range(1, 11))
    assert first[0]["boot_id"] != again[0]["boot_id"]


def test_first_verdict_comes_soon(station: Station) -> None:
    """A bound that a hung import or a needless wait breaks; figures are in benchmarks/."""
    began = time.monotonic()
    process = station.start("--json", "--max-frames", "1")
    assert process.stdout is not None
    line = process.stdout.readline()
    elapsed = time.monotonic() - began
    process.communicate(timeout=20)
    assert json.loads(line)["seq"] == 1
    assert elapsed < 20


def test_results_are_published_and_the_station_says_goodbye(
    station: Station, broker: BrokerProcess
) -> None:
    listener = Listener(broker.port)
    done = station.run("--mqtt", f"mqtt://127.0.0.1:{broker.port}", "--max-frames", "30")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: len(listener.of("result")) == 30, what="30 results")
    listener.wait_status("stopped")
    listener.stop()
    topics = {message.topic for message in listener.messages}
    assert {f"edge-infer/v1/n1/{kind}" for kind in ("status", "info")} <= topics or {
        f"edge-infer/v1/n1/s1/{kind}" for kind in ("state", "counters", "result")
    } <= topics
    payload = json.loads(listener.of("result")[0].payload)
    # The bundle was compared with one release of the runtime; of another the payload says so.
    compared = {r.backend_version for r in open_bundle(DEMO_BUNDLE).manifest.parity}
    expected = "passed" if onnxruntime.__version__ in compared else "skipped"
    assert payload["model"]["engine"]["parity"] == expected
    assert payload["model"]["engine"]["backend"] == "onnxruntime"
    assert payload["views"][0]["width"] == 256


def test_the_embedded_broker_serves_other_clients(station: Station) -> None:
    port = free_port()
    text = station.file.read_text().replace("broker: none", f"broker: embedded, port: {port}")
    station.file.write_text(text.replace(f"{DEMO_IMAGES}", f"{DEMO_IMAGES}?fps=30"))
    process = station.start()

    def is_up() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(is_up, 20, "the embedded broker")
    listener = Listener(port)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    listener.stop()
    heard = [json.loads(message.payload)["seq"] for message in listener.of("result")]
    assert heard == list(range(1, 109))
    assert json.loads(listener.of("status")[-1].payload)["state"] == "stopped"


def test_the_embedded_broker_is_there_before_the_engine_loads(station: Station) -> None:
    """So that watchers miss no result. Here neither can come up: the first one is told."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = station.file.read_text().replace("broker: none", f"broker: embedded, port: {port}")
        station.file.write_text(text)
        done = station.run("--bundle", "nowhere")
    assert done.returncode == 6
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("fault", ["", "&fault=hang:5:60"])
def test_a_signal_stops_within_two_seconds_whatever_is_stuck(
    station: Station, sign: signal.Signals, fault: str
) -> None:
    camera = f"test://conveyor?fps=20{fault}"
    # The camera must still hang when the signal comes, however late that is on a busy machine, and
    # no frame before that may be superseded.
    settings = "camera: {stall_timeout_s: 60, buffer: every, "
    text = station.file.read_text().replace("camera: {", settings)
    station.file.write_text(text)
    process = station.start("--camera", camera, "--json")
    assert process.stdout is not None
    for _ in range(5):
        assert process.stdout.readline()
    time.sleep(0.5)  # into the hang
    began = time.monotonic()
    process.send_signal(sign)
    _, errors = process.communicate(timeout=10)
    elapsed = time.monotonic() - began
    assert process.returncode == 0, errors
    assert elapsed < 2.0
    assert "Traceback" not in errors
    assert ("threads did not stop threads=camera" in errors) == bool(fault)


def test_a_lost_camera_is_reopened_and_told(station: Station, broker: BrokerProcess) -> None:
    listener = Listener(broker.port)
    text = station.file.read_text().replace("camera: {", "camera: {buffer: every, ")
    station.file.write_text(text)
    done = station.run(
        "--camera", "test://conveyor?fps=20&parts=30&fault=lost:10:1.5",
        "--mqtt", f"mqtt://127.0.0.1:{broker.port}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    listener.wait_status("stopped")
    listener.stop()
    assert "camera lost" in done.stderr
    assert done.stderr.count("camera connected") == 2
    alerts = [json.loads(m.payload) for m in listener.of("alert")]
    # The conveyor's plates are not the bundle's product, which another alert tells.
    assert [(a["code"], a["state"]) for a in alerts if a["code"] != "unlike_product"] == [
        ("camera_lost", "raised"), ("camera_lost", "cleared"),
    ]  # fmt: skip
    ids = [json.loads(m.payload)["part"]["id"] for m in listener.of("result")]
    assert len(ids) == len(set(ids)) >= 25


def test_unreadable_pictures_become_error_results(station: Station, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    source = sorted((DEMO_IMAGES / "good").glob("*.png"))
    for index in range(3):
        (folder / f"{index}.png").write_bytes(source[index].read_bytes())
    (folder / "1.png").write_bytes(source[1].read_bytes()[:200])
    done = station.run("--camera", f"file://{folder}", "--json")
    found = results(done.stdout)
    assert [r["result"] for r in found] == ["pass", "error", "pass"]
    assert found[1]["reason"] == "camera_error"
    assert "1.png" in found[1]["detail"]
    assert found[1]["score"] is None
    assert found[1]["evaluation"] == 0
    assert done.returncode == 0


def test_a_dark_frame_never_passes(station: Station) -> None:
    done = station.run(
        "--camera", "test://conveyor?parts=3&size=256x256&fault=black:0:60", "--json"
    )
    found = results(done.stdout)
    assert len(found) == 3
    assert all(r["result"] != "pass" for r in found)


def test_a_live_camera_faster_than_inspection_loses_the_oldest_and_counts(
    station: Station,
) -> None:
    done = station.run("--camera", "test://conveyor?fps=400&parts=300&size=64x64", "--json")
    found = results(done.stdout)
    assert 10 < len(found) < 300
    assert "mailbox/superseded" in done.stderr
    assert [r["seq"] for r in found] == list(range(1, len(found) + 1))


def test_every_part_of_a_full_queue_gets_a_result(station: Station) -> None:
    text = station.file.read_text().replace("camera: {", "camera: {buffer: every, queue_size: 2, ")
    station.file.write_text(text)
    done = station.run("--camera", "test://conveyor?fps=400&parts=200&size=64x64", "--json")
    found = results(done.stdout)
    refused = [r for r in found if r["reason"] == "overrun"]
    assert len(found) == 200
    assert len(refused) > 10
    assert all(r["result"] == "undecided" for r in refused)


def test_pictures_are_archived_with_their_verdict(station: Station, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    station.file.write_text(
        station.file.read_text() + f"archive: {{path: {pictures}, keep: all}}\n"
    )
    done = station.run("--json", "--max-frames", "20")
    found = results(done.stdout)
    assert len(list(pictures.glob("*.webp"))) == 20
    passed = sum(r["result"] == "pass" for r in found)
    assert len(list(pictures.glob("*-pass.webp"))) == passed


def test_the_archive_stays_within_its_size(station: Station, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    text = f"archive: {{path: {pictures}, keep: all, max_bytes: 60kB}}\n"
    station.file.write_text(station.file.read_text() + text)
    station.run("--max-frames", "30")
    kept = sorted(pictures.glob("*.webp"))
    assert 0 < sum(path.stat().st_size for path in kept) <= 60_000
    assert kept[-1].name.split("-")[-2] == "000029", "the newest stay"


def test_two_processes_do_not_share_a_station(station: Station) -> None:
    first = station.start("--camera", "test://conveyor?fps=5", "--json")
    assert first.stdout is not None
    first.stdout.readline()
    second = station.run("--max-frames", "1")
    first.terminate()
    first.communicate(timeout=10)
    assert second.returncode == 6
    told = [line for line in second.stderr.splitlines() if line.startswith("error: ")]
    assert len(told) == 1, second.stderr
    assert "s1" in told[0]
    assert "Traceback" not in second.stderr


def test_a_closed_pipe_is_no_crash(station: Station) -> None:
    process = station.start("--json", "--camera", "test://conveyor?fps=50")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.wait(timeout=15)
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.returncode == 1


def test_a_full_disk_under_the_output_ends_the_run_with_one_line(station: Station) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            station.arguments("--json", "--camera", "test://conveyor?fps=50", "--log-level=error"),
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 6
    (line,) = done.stderr.splitlines()
    assert "standard output" in line
    assert "No space left" in line


def test_check_proves_the_station_without_its_camera(station: Station) -> None:
    done = station.run("--check", "--no-camera", "--camera", "rtsp://127.0.0.1:9/none")
    assert done.returncode == 0, done.stderr
    assert "in order; not checked: whether its cameras are there" in done.stdout
    assert not station.state.exists(), "a check leaves nothing behind"


def test_check_opens_the_camera(station: Station) -> None:
    done = station.run("--check")
    assert done.returncode == 0, done.stderr
    assert "in order, opened: " in done.stdout
    assert done.stdout.splitlines()[-1].startswith("next: edge-infer ")


def test_check_says_which_camera_does_not_open(station: Station, tmp_path: Path) -> None:
    done = station.run("--check", "--camera", f"file://{tmp_path}/none")
    assert (done.returncode, done.stdout) == (5, "")
    assert "expected pictures" in done.stderr.splitlines()[-1]


def test_the_state_directory_comes_from_the_environment(station: Station, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    arguments = [a for a in station.arguments("--max-frames", "1") if a != "--state-dir"]
    arguments.remove(str(station.state))
    environment = {**os.environ, "EDGE_STATE_DIR": str(elsewhere)}
    subprocess.run(arguments, env=environment, capture_output=True, check=True, timeout=60)
    assert list(elsewhere.glob("*.db"))
