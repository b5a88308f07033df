"""edge-bench: what it measures fits together; how fast anything is, no test says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.bundle.manifest import ParityRecord
from edge.bundle.store import open_bundle
from edge.cli.bench import app
from edge.config.station import EngineSettings
from edge.diagnostics.stage_timing import STAGES
from edge.engines.available import available_engines
from edge.engines.cache_trust import make_seal, seal_path
from edge.engines.onnx.engine import physical_cores
from edge.engines.verified import PARITY, DeviceParity, EnginePart
from tests.support.bundles import DEMO_BUNDLE, edit_json, make_bundle, sign

ROUNDS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Engines of this bundle, of which the only one was verified with another release."""
    bundle = open_bundle(DEMO_BUNDLE)
    parity = ParityRecord(
        reference="onnxruntime fp32",
        backend="onnxruntime",
        backend_version="0.1",
        images=6,
        score_difference=0.0,
        map_difference=0.0,
        map_correlation=1.0,
        verdict_flips=0,
        passed=True,
    )
    graph = bundle.graph.file
    record = DeviceParity(
        schema="edge-infer.device-parity/1",
        bundle_id=bundle.id,
        key="0" * 64,
        backend="onnxruntime",
        version="0.1",
        precision="int8",
        device="CPU",
        engines={"detect": EnginePart(file=graph, sha256=bundle.manifest.files[graph])},
        parity=parity,
        score_tolerance=0.1,
        median_ms=1.0,
        created_at="2026-01-01T00:00:00+00:00",
    )
    place = tmp_path_factory.mktemp("engines") / "old"
    place.mkdir()
    data = record.model_dump_json(by_alias=True).encode()
    (place / PARITY).write_bytes(data)
    seal_path(place / PARITY).write_bytes(make_seal(data))
    return place.parent


def bench(*arguments: str) -> str:
    done = CliRunner().invoke(app, [str(DEMO_BUNDLE), *arguments], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.exception or done.output
    return done.stdout


@pytest.fixture(scope="module")
def measured(folder: Path) -> dict:
    options = ("--rounds", str(ROUNDS), "--size", "320x200", "--engines", str(folder))
    return json.loads(bench(*options, "--json"))


def test_every_engine_and_stage_is_there(measured: dict) -> None:
    bundle = open_bundle(DEMO_BUNDLE)
    assert measured["bundle"] == {"name": bundle.manifest.name, "id": bundle.id}
    assert measured["frame_wh"] == [320, 200]
    assert measured["parts"] == ROUNDS * len(bundle.golden().images)
    reference = measured["engines"][0]
    assert reference["info"]["backend"] == "onnxruntime"
    assert reference["info"]["threads"] == physical_cores()
    assert reference["is_trusted"] is True
    for engine in measured["engines"]:
        assert tuple(engine["stages"]) == STAGES


def test_the_figures_fit_together(measured: dict) -> None:
    for engine in measured["engines"]:
        stages = engine["stages"]
        for times in stages.values():
            assert 0 < times["p50"] <= times["p95"] <= times["p99"]
            assert times["per_second"] * times["mean"] == pytest.approx(1e3)
        inside = sum(stages[name]["mean"] for name in ("preprocess", "infer", "postprocess"))
        assert inside <= stages["verdict"]["mean"], "a part is not judged faster than its stages"
        share = stages["bare"]["p50"] / stages["verdict"]["p50"]
        assert engine["share_of_bare"] == pytest.approx(share)


def test_what_does_not_load_is_named_with_its_reason(measured: dict) -> None:
    refused = dict(measured["refused"])
    assert "parity was checked with" in refused.pop("onnxruntime int8")
    # A processor without bf16 cannot measure that either, and says so.
    no_bf16 = refused.pop("openvino bf16", "expected OpenVINO to compute in bf16")
    assert "expected OpenVINO to compute in bf16" in no_bf16
    assert not refused


def test_an_unverified_engine_is_marked(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="needs an engine that is not the reference")
    options = ("--rounds", "1", "--engines", str(tmp_path))
    engines = json.loads(bench(*options, "--json"))["engines"]
    assert {e["info"]["backend"]: e["is_trusted"] for e in engines} == {
        "onnxruntime": True,
        "openvino": False,
    }


def test_the_table_says_the_same(folder: Path) -> None:
    table = bench("--rounds", "1", "--engines", str(folder))
    for words in ("onnxruntime", "of which shrink", "inference", "frame to verdict"):
        assert words in table
    assert "% of the engine alone" in table
    assert "onnxruntime int8: not measured: " in table


@pytest.mark.parametrize("size", ["640", "0x480", "640x", "-1x2"])
def test_a_wrong_size_is_a_usage_error(size: str) -> None:
    done = CliRunner().invoke(app, [str(DEMO_BUNDLE), f"--size={size}"])
    assert done.exit_code == 2
    assert "WIDTHxHEIGHT such as 1280x1024" in done.stderr


def test_an_engine_whose_output_is_not_finite_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fast engine that says nothing must not win the table."""
    from edge.engines.onnx.engine import OnnxEngine
    from edge.errors import InferenceError

    honest = OnnxEngine.run

    def broken(self, inputs):
        outputs = honest(self, inputs)
        outputs["score"][:] = float("nan")
        return outputs

    monkeypatch.setattr(OnnxEngine, "run", broken)
    done = CliRunner().invoke(app, [str(DEMO_BUNDLE), "--engines", str(tmp_path)])
    assert isinstance(done.exception, InferenceError)
    assert "not finite" in str(done.exception)


def test_an_int8_graph_of_the_bundle_is_measured_too(tmp_path: Path) -> None:
    """Here a copy of the FP32 graph that the manifest calls INT8: what counts is who loads what."""
    folder = make_bundle(tmp_path, "two")
    manifest = json.loads((folder / "bundle.json").read_text())
    (graph,) = (
        g for g in manifest["graphs"] if g["precision"] == "fp32" and g.get("role") != "types"
    )
    shutil.copyfile(folder / graph["file"], folder / "models" / "int8.onnx")
    int8 = {**graph, "file": "models/int8.onnx", "precision": "int8"}
    edit_json(folder / "bundle.json", graphs=[*manifest["graphs"], int8])
    bundle = open_bundle(sign(folder))
    engines = available_engines(bundle, EngineSettings(folder=tmp_path / "none", threads=1))
    found = {str(one): one for one in engines}
    assert not found["onnxruntime int8"].is_trusted
    with found["onnxruntime int8"].load(bundle.graph) as engine:
        assert engine.info.precision == "int8"
    with found["onnxruntime fp32"].load(bundle.graph) as engine:
        assert engine.info.precision == "fp32"
