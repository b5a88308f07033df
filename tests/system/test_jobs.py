"""What a control system may ask of a running station: one part, an abort, a threshold."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime, timedelta, timezone

import pytest
from jsonschema import Draft202012Validator

from edge.messages.payload import schema
from edge.station.commands.audit_check import audit_problems
from tests.support.brokers import wait_until
from tests.system.conftest import DEMO_BUNDLE, DEMO_IMAGES, Running

LIVE = "test://conveyor?fps=40&size=96x96"


def text(source: str, camera: str = "") -> str:
    return f"bundle: {DEMO_BUNDLE}\ncamera: {{source: '{source}', queue_size: 8{camera}}}\n"


def settled(running: Running, seconds: float = 0.3) -> int:
    """Count the results once none has come for so many seconds."""
    count, since = len(running.results), time.monotonic()
    while time.monotonic() < since + seconds:
        time.sleep(0.05)
        if len(running.results) != count:
            count, since = len(running.results), time.monotonic()
    return count


def alerts(mes) -> dict[str, dict]:
    """Return the alerts that are raised, by code."""
    return {alert["code"]: alert for alert in mes.newest("alert/active")["alerts"]}


def soon(seconds: float) -> str:
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_a_single_job_judges_exactly_the_next_part(run_station, kind: str) -> None:
    running = run_station(text(LIVE), kind)
    mes = running.start()
    early = mes.ask("start_single_job")
    assert (early["status"], early["code"]) == ("rejected", "wrong_state")
    mes.ask("stop")
    before = settled(running)

    cmd_id = mes.send("start_single_job", {"part_id": "4006-871"})
    done = mes.outcome(cmd_id)
    assert settled(running) == before + 1
    result = running.results[-1]
    assert result["job_id"] == cmd_id
    assert result["part"].items() >= {"id": "4006-871", "id_source": "command"}.items()
    assert result["times"]["trigger"] <= result["times"]["capture"]
    accepted, _ = mes.acks(cmd_id)
    assert (accepted["status"], accepted["state"]["mode"]) == ("accepted", "single_execution")
    assert (done["status"], done["state"]["mode"]) == ("done", "ready")
    assert done["message"].endswith(f"{result['result']}, in the result with seq {result['seq']}")
    assert mes.newest("state")["mode"] == "ready"

    mes.send("start_single_job", {"part_id": "4006-871"}, cmd_id=cmd_id)
    assert mes.outcome(cmd_id, 2) == done, "the same command, not another part"
    mes.ask("start_single_job")
    assert settled(running) == before + 2
    assert running.results[-1]["part"]["id"] != "4006-871"

    run = mes.send("start_continuous")
    running.more()
    assert running.results[-1]["job_id"] == run
    assert "trigger" not in running.results[-1]["times"]
    seqs = [r["seq"] for r in running.results]  # once: it goes on
    assert seqs == list(range(1, len(seqs) + 1))
    for kind in ("result", "ack", "state"):
        validator = Draft202012Validator(schema(kind))
        for message in mes.listener.of(kind):
            validator.validate(json.loads(message.payload))


def test_a_single_job_waits_for_its_frame_until_it_expires_or_is_aborted(run_station) -> None:
    # Frames enough for somebody to hear of six: nobody hears a broker before it is there.
    running = run_station(text(f"{LIVE}&fault=hang:80:60", ", stall_timeout_s: 60"))
    mes = running.start()
    wait_until(lambda: len(running.results) == settled(running, 1), 20, "the hang")
    mes.ask("stop")
    before = settled(running)
    late = mes.ask("start_single_job", expires_at=soon(0.5))
    assert (late["status"], late["code"], late["state"]["mode"]) == ("failed", "no_frame", "ready")
    cmd_id = mes.send("start_single_job")
    wait_until(lambda: mes.acks(cmd_id))
    assert mes.ask("start_single_job")["code"] == "busy"
    assert mes.ask("start_continuous")["code"] == "busy"
    assert mes.ask("abort")["status"] == "done"
    assert (mes.outcome(cmd_id)["status"], mes.outcome(cmd_id)["code"]) == ("failed", "aborted")
    assert mes.newest("state")["mode"] == "ready"
    assert settled(running) == before


def test_an_abort_drops_what_waits_and_files_wait_for_the_next_job(run_station) -> None:
    running = run_station(text(f"file://{DEMO_IMAGES}?loop=1"))
    mes = running.start()
    aborted = mes.ask("abort")
    assert (aborted["status"], aborted["state"]["mode"]) == ("done", "ready")
    judged = settled(running)
    frames = [r["views"][0]["frame_id"] for r in running.results]
    assert frames == list(range(judged)), "whole results only, none missing in between"

    mes.ask("start_single_job")
    assert settled(running) == judged + 1
    dropped = running.results[-1]["views"][0]["frame_id"] - judged
    assert 1 <= dropped <= 10, "the queue, and the frame being judged"
    assert mes.ask("reset")["status"] == "done"
    mes.ask("start_single_job")
    assert settled(running) == judged + 2
    both = running.results[-1]["views"][0]["frame_id"] - judged - 1
    assert both - dropped == 8, "the queue, which had waited"
    assert running.end() == 0
    counts = {why: int(n) for why, n in re.findall(r"line/(\w+)\D+(\d+)", running.log)}
    assert counts["aborted"] + counts.get("stopped", 0) == both
    assert counts.get("stopped", 0) <= 1, "taken from the queue just when the abort came"


def test_a_reset_tries_a_lost_camera_at_once_and_leaves_the_station_ready(run_station) -> None:
    # Every frame gets a result, so that a slow machine reports more than five of these ten, too.
    camera = ", retry_interval_s: 60, buffer: every"
    running = run_station(text(f"{LIVE}&fault=lost:10:0.3", camera))
    mes = running.start()
    wait_until(lambda: mes.newest("state")["state"] == "error", 30, "the loss")
    time.sleep(0.3)
    assert mes.ask("reset")["status"] == "done"
    wait_until(lambda: mes.newest("state")["mode"] == "ready", 30, "the camera")
    before = settled(running)
    assert json.loads(mes.listener.of("alert")[-1].payload)["state"] == "cleared"
    assert settled(running) == before, "ready, and not judging by itself"
    assert mes.ask("start_continuous")["status"] == "done"
    running.more()
    judging = mes.ask("reset")
    assert (judging["status"], judging["code"]) == ("rejected", "wrong_state")
    running.more()


def test_what_moves_the_machine_is_refused_by_default(run_station) -> None:
    running = run_station(f"{text(LIVE)}commands: {{}}")
    mes = running.start()
    threshold = running.results[-1]["threshold"]
    assert mes.ask("get_state")["status"] == "done"
    assert {mes.ask(name)["code"] for name in ("stop", "halt", "abort", "reset")} == {"not_allowed"}
    refused = mes.ask("set_threshold", {"threshold": "0.001"})
    assert (refused["status"], refused["code"]) == ("rejected", "not_allowed")
    assert "commands.allow in the station file decides" in refused["message"]
    unknown = mes.ask("rebuild_engine")
    assert (unknown["status"], unknown["code"]) == ("rejected", "not_allowed")
    assert mes.newest("info")["commands"] == ["get_state", "get_picture", "acknowledge_alert"]
    assert "commands_open" not in alerts(mes)
    running.more()
    assert {r["threshold"] for r in running.results} == {threshold}


def test_commands_on_a_broker_without_login_raise_an_alert(run_station) -> None:
    running = run_station(f"{text(LIVE)}commands: {{allow: [get_state, stop]}}")
    mes = running.start()
    alert = alerts(mes)["commands_open"]
    assert alert["severity"] == "warning"
    assert "no TLS and no login" in alert["detail"]
    assert "commands are open: " in running.log


def test_a_threshold_holds_for_the_process_and_the_recipe_only(run_station) -> None:
    running = run_station(
        text(LIVE) + "commands: {allow: [get_state, set_threshold, prepare_recipe]}\n"
    )
    mes = running.start()
    first = mes.ask("get_state")["state"]
    for wrong in ("0", "0.0", "-1", "nan", "inf", "1e999", "1e-999", "0x10", "1_0", "many"):
        refused = mes.ask("set_threshold", {"threshold": wrong})
        assert (refused["status"], refused["code"]) == ("rejected", "invalid"), wrong
    done = mes.ask("set_threshold", {"threshold": "1e-6"})
    assert done["status"] == "done"
    state = done["state"]
    assert (state["threshold"], state["recipe"]) == (1e-6, first["recipe"])
    assert "set by command" in state["detail"]
    assert state["config_revision"] != first["config_revision"]
    running.more_since(done["ts"])
    after = [r for r in running.results if r["times"]["capture"] > done["ts"]]
    assert {(r["threshold"], r["result"]) for r in after} == {(1e-6, "fail")}
    assert all((r["result"] == "fail") == (r["score"] > r["threshold"]) for r in running.results)

    old = mes.ask("set_threshold", {"threshold": "9"}, expect={"config_revision": "0"})
    assert old["code"] == "config_revision"
    known = {"config_revision": state["config_revision"]}
    again = mes.ask("set_threshold", {"threshold": "9"}, expect=known)
    assert again["state"]["threshold"] == 9
    assert again["state"]["config_revision"] not in (known, first["config_revision"])
    audit = [json.loads(entry) for entry in
             (running.station.state / "n1.s1.audit.jsonl").read_text().splitlines()]  # fmt: skip
    assert [(e["command"], e["by"], e["args"]["threshold"], e["status"]) for e in audit] == [
        ("set_threshold", "mes", value, status)
        for value in ("1e-6", "9") for status in ("accepted", "done")
    ]  # fmt: skip
    assert audit_problems(running.station.state / "n1.s1.audit.jsonl") == []
    assert mes.ask("get_state")["state"]["audit"]["count"] == 4

    name = first["recipe"]["id"]
    fresh = mes.ask("prepare_recipe", {"recipe": name})["state"]
    volatile = {"ts": "", "audit": None}
    assert {**fresh, **volatile} == {**first, **volatile}
    mes.ask("set_threshold", {"threshold": "9"})
    running.process.kill()
    running.process.wait()
    running.start()
    assert running.results[-1]["threshold"] == first["threshold"]
