"""Many products on one line: recipes exchanged by command while the real process runs."""

from __future__ import annotations

import json
import subprocess
import time
from itertools import groupby
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from edge.bundle.store import open_bundle
from edge.messages.payload import schema
from tests.support.bundles import DEMO_BUNDLE, make_bundle, make_bundle_for
from tests.system.conftest import COMMANDS, Running, Station

# Slow enough for a core that others share: frames must not pile up, since a recipe is exchanged for
# those that are captured after it is ready.
CAMERA = "test://conveyor?fps=10&size=96x96"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    make_bundle(folder, "cover", version="7", threshold=1.75)
    make_bundle_for(folder, "all", {"lid": 0.5, "box": 1.5})
    altered = make_bundle(folder, "altered")
    (altered / "models" / "inpformer.fp32.onnx").write_bytes(b"not a graph")
    return folder


def station_text(bundles: Path) -> str:
    return f"""
recipes:
  housing: {DEMO_BUNDLE}
  cover: {bundles / "cover"}
  lid: {{bundle: {bundles / "all"}, product: lid}}
  box: {{bundle: {bundles / "all"}, product: box}}
  altered: {bundles / "altered"}
recipe: housing
camera: {{source: "{CAMERA}", buffer: every, queue_size: 1000}}
"""


@pytest.fixture
def run(run_station, bundles: Path):
    def _run(kind: str = "amqtt", extra: str = "") -> Running:
        return run_station(f"{station_text(bundles)}{extra}", kind)

    return _run


def recipe_of(result: dict) -> str:
    return result["recipe"]["id"]


# The embedded broker is amqtt's, too.
@pytest.mark.parametrize(
    "kind", ["mosquitto", pytest.param("amqtt", marks=pytest.mark.slow), "embedded"]
)
def test_no_part_is_lost_or_judged_twice_by_changeovers_while_parts_come(
    run, bundles: Path, kind: str
) -> None:
    running = run(kind)
    mes = running.start()
    acks = []
    for recipe in ("cover", "housing"):
        running.more(20)
        acks.append(mes.ask("prepare_recipe", {"recipe": recipe}))
        running.more_since(acks[-1]["ts"])
    running.more(20)
    assert [ack["status"] for ack in acks] == ["done", "done"]
    assert running.end() == 0
    mes.listener.wait_status("stopped")
    results = running.results

    frames = [r["views"][0]["frame_id"] for r in results]
    first = results[0]["seq"]
    assert first == 1 or kind == "embedded", "nobody can hear a broker before it is there"
    assert frames == list(range(first - 1, first - 1 + len(results))), "every frame once, in order"
    assert [r["seq"] for r in results] == list(range(first, first + len(results)))
    assert all(r["score"] is not None for r in results)

    runs = [(name, list(rows)) for name, rows in groupby(results, key=recipe_of)]
    assert [name for name, _ in runs] == ["housing", "cover", "housing"]
    judged = [
        {(r["model"]["name"], r["model"]["version"], r["model"]["bundle_sha256"], r["threshold"])
         for r in rows} for _, rows in runs
    ]  # fmt: skip
    cover, housing = open_bundle(bundles / "cover").id, open_bundle(DEMO_BUNDLE).id
    assert judged[1] == {("cover", "7", cover, 1.75)}
    assert judged[0] == judged[2]
    assert {sha for _, _, sha, _ in judged[0]} == {housing} != {cover}

    # What was captured after the answer is of the new product.
    for ack, recipe in zip(acks, ("cover", "housing"), strict=True):
        after = [r for r in results if r["times"]["capture"] > ack["ts"]]
        assert recipe_of(after[0]) == recipe
        assert ack["state"]["recipe"]["id"] == recipe

    modes = [json.loads(m.payload)["mode"] for m in mes.listener.of("state")]
    assert [m for m, _ in groupby(modes)][-5:] == [
        "initialized", "continuous_execution", "initialized", "continuous_execution", None,
    ]  # fmt: skip
    assert mes.newest("state")["state"] == "halted"
    assert mes.newest("info")["recipe"]["id"] == "housing"
    assert mes.newest("info")["recipes"] == ["housing", "cover", "lid", "box", "altered"]
    assert {m.retain for m in mes.listener.of("ack")} == {False}
    for kind_ in ("ack", "state", "info", "result"):
        validator = Draft202012Validator(schema(kind_))
        for message in mes.listener.of(kind_):
            validator.validate(json.loads(message.payload))


def test_states_precede_the_answers_that_tell_of_them(run) -> None:
    running = run()
    mes = running.start()
    cmd_id = mes.send("prepare_recipe", {"recipe": "cover"})
    mes.outcome(cmd_id)
    told = [
        (m.topic.rsplit("/", 1)[1], json.loads(m.payload)) for m in mes.listener.messages
        if m.topic.endswith(("/ack", "/state"))
    ]  # fmt: skip
    story = [
        (kind, p["status"], p["state"]["mode"], p["state"]["recipe"]["id"]) if kind == "ack"
        else (kind, p["mode"], p["recipe"]["id"]) for kind, p in told
    ]  # fmt: skip
    # The state is also renewed when the audit log has a record.
    assert [each for each, _ in groupby(story)][-4:] == [
        ("state", "initialized", "housing"),
        ("ack", "accepted", "initialized", "housing"),
        ("state", "continuous_execution", "cover"),
        ("ack", "done", "continuous_execution", "cover"),
    ]


def test_a_recipe_that_does_not_load_leaves_the_old_one_judging(run) -> None:
    running = run()
    mes = running.start()
    ack = mes.ask("prepare_recipe", {"recipe": "altered"})
    assert (ack["status"], ack["code"]) == ("failed", "recipe_failed")
    assert "models/inpformer.fp32.onnx was altered" in ack["message"]
    assert "\n" not in ack["message"]
    running.more()
    assert {recipe_of(r) for r in running.results} == {"housing"}
    assert mes.newest("state")["mode"] == "continuous_execution"
    assert mes.ask("prepare_recipe", {"recipe": "cover"})["status"] == "done"
    assert running.end() == 0
    assert "Traceback" not in running.log
    audit = (running.station.state / "n1.s1.audit.jsonl").read_text().splitlines()
    assert [json.loads(entry)["status"] for entry in audit] == [
        "accepted", "failed", "accepted", "done",
    ]  # fmt: skip


def test_the_same_command_is_done_once_and_a_late_one_never(run) -> None:
    running = run()
    mes = running.start()
    late = mes.ask("prepare_recipe", {"recipe": "cover"}, expires_at="2026-01-01T00:00:00Z")
    assert late["status"] == "expired"
    cmd_id = mes.send("prepare_recipe", {"recipe": "cover"})
    first = mes.outcome(cmd_id)
    mes.send("prepare_recipe", {"recipe": "lid"}, cmd_id=cmd_id)
    assert mes.outcome(cmd_id, 2) == first
    revision = first["state"]["config_revision"]
    right = mes.ask("prepare_recipe", {"recipe": "box"}, expect={"config_revision": revision})
    wrong = mes.ask("prepare_recipe", {"recipe": "lid"}, expect={"config_revision": "0"})
    assert (right["status"], wrong["code"]) == ("done", "config_revision")
    running.more()
    assert [name for name, _ in groupby(running.results, key=recipe_of)] == [
        "housing",
        "cover",
        "box",
    ]
    # After a kill the outcome is still known, and nothing is done again.
    running.process.kill()
    running.process.wait()
    running.start()
    mes.send("prepare_recipe", {"recipe": "cover"}, cmd_id=cmd_id)
    assert mes.outcome(cmd_id, 3)["status"] == "done"
    running.more()
    assert recipe_of(running.results[-1]) == "box"


def test_the_recipe_chosen_survives_a_kill_until_the_file_is_edited(run) -> None:
    running = run()
    mes = running.start()
    mes.ask("prepare_recipe", {"recipe": "cover"})
    running.process.kill()
    running.process.wait()
    running.start()
    assert recipe_of(running.results[-1]) == "cover"
    assert "recipe restored recipe=cover by='mes'" in running.log
    running.end()
    text = running.station.file.read_text()
    running.station.file.write_text(text.replace("recipe: housing", "recipe: lid"))
    running.start()
    assert recipe_of(running.results[-1]) == "lid"
    assert "recipe choice void recipe=lid" in running.log


def test_products_of_one_bundle_are_exchanged_without_loading(run) -> None:
    running = run()
    mes = running.start()
    thresholds = {}
    for recipe in ("lid", "box"):
        mes.ask("prepare_recipe", {"recipe": recipe})
        running.more()
        newest = running.results[-1]
        assert recipe_of(newest) == newest["product_id"] == recipe
        thresholds[recipe] = newest["threshold"]
        assert (newest["result"] == "fail") == (newest["score"] > newest["threshold"])
    assert thresholds == {"lid": 0.5, "box": 1.5}
    shas = {r["product_id"]: r["model"]["bundle_sha256"] for r in running.results}
    assert shas["lid"] == shas["box"] != shas["pcb_traces"]


def test_one_bundle_alone_serves_its_products_by_name(tmp_path: Path, bundles: Path) -> None:
    text = (
        f"node: n1\nstation: s1\nbundle: {bundles / 'all'}\nproduct: box\n"
        f"camera: {{source: '{CAMERA}&parts=3'}}\nmqtt: {{broker: none}}\n"
    )
    done = Station(tmp_path, text).run("--json")
    results = [json.loads(text) for text in done.stdout.splitlines()]
    assert {(recipe_of(r), r["product_id"], r["threshold"]) for r in results} == {
        ("box", "box", 1.5)
    }  # fmt: skip
    wrong = Station(tmp_path, text.replace("box\n", "cup\n")).run()
    assert wrong.returncode == 3
    assert "expected one of its products (lid, box), got cup" in wrong.stderr
    assert wrong.stderr.count("\n") == 1


def test_a_stopped_station_judges_nothing_and_goes_on_when_told(run) -> None:
    running = run()
    mes = running.start()
    assert mes.ask("stop")["state"]["mode"] == "ready"
    time.sleep(0.3)  # what was being judged when the command came has arrived by then
    count = len(running.results)
    time.sleep(0.3)
    assert mes.ask("unprepare_recipe", {"recipe": "housing"})["status"] == "done"
    assert mes.newest("state")["recipe"] is None
    assert mes.newest("info")["model"] is None
    assert mes.ask("start_continuous")["code"] == "wrong_state"
    assert mes.ask("prepare_recipe", {"recipe": "cover"})["state"]["mode"] == "ready"
    time.sleep(0.3)
    assert len(running.results) == count
    assert mes.ask("start_continuous")["status"] == "done"
    running.more()
    results = running.results
    assert [r["seq"] for r in results] == list(range(1, len(results) + 1))
    assert recipe_of(results[-1]) == "cover"
    assert mes.ask("halt")["status"] == "done"
    assert running.process.wait(5) == 0
    mes.listener.wait_status("stopped")
    assert "line/stopped" in running.log


def test_a_station_that_allows_no_command_obeys_none(run) -> None:
    running = run(extra="commands: {allow: []}")
    mes = running.start()
    mes.send("halt")
    running.more(30)
    assert mes.listener.of("ack") == []
    assert mes.newest("info")["commands"] == []
    assert running.end() == 0


def test_edge_command_changes_the_product(run) -> None:
    running = run("embedded")
    running.start()
    arguments = ["--node", "n1", "--station", "s1", "--mqtt", f"mqtt://127.0.0.1:{running.port}"]
    done = subprocess.run(
        [COMMANDS / "edge-command", "prepare_recipe", "recipe=cover", *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "accepted: preparing recipe cover\ndone: recipe cover is active\n"
    running.more()
    assert recipe_of(running.results[-1]) == "cover"
    state = subprocess.run(
        [COMMANDS / "edge-command", "get_state", *arguments],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(state.stdout)["recipe"]["id"] == "cover"


def test_check_looks_at_every_recipe(tmp_path: Path, bundles: Path) -> None:
    running = Running(tmp_path, 1883, f"{station_text(bundles)}mqtt: {{broker: none}}\n")
    done = running.station.run("--check")
    assert done.returncode == 3
    assert "altered" in done.stderr.splitlines()[-1]
    text = running.station.file.read_text()
    running.station.file.write_text(text.replace(f"  altered: {bundles / 'altered'}\n", ""))
    done = running.station.run("--check")
    assert done.returncode == 0, done.stderr
    assert not running.station.state.exists()
