"""A bundle whose graph is an OpenVINO IR: OpenVINO runs it, every other engine refuses it."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import numpy as np
import pytest

from edge.bundle.openvino_ir_file import values_beside
from edge.bundle.store import Bundle, open_bundle
from edge.config.station import DecisionSettings, EngineSettings
from edge.engines.available import available_engines
from edge.engines.load import engine_key, load_engine
from edge.engines.onnx.engine import OnnxEngine
from edge.engines.openvino.engine import OpenVinoEngine
from edge.errors import EngineLoadError
from edge.inspection.inspector import Inspector
from edge.station.recipes.recipes import model_info
from tests.support.bundles import DEMO_BUNDLE
from tests.support.engines import random_frame
from tests.support.ir_bundle import IR_FILE, make_ir_bundle

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="OpenVINO NOT TESTED: pip install 'edge-inspection[openvino]'",
)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return open_bundle(make_ir_bundle(tmp_path / "bundle"))


def settings(folder: Path, backend: str | None = None) -> EngineSettings:
    return EngineSettings(backend=backend, folder=folder / "engines", threads=1)


@pytest.mark.parametrize("backend", [None, "auto", "openvino"])
def test_it_judges_as_the_same_graph_in_onnx(
    backend: str | None, bundle: Bundle, tmp_path: Path
) -> None:
    same = open_bundle(DEMO_BUNDLE)
    frame = random_frame(bundle.graph)
    with (
        load_engine(bundle, settings(tmp_path, backend)) as engine,
        load_engine(same, settings(tmp_path)) as reference,
    ):
        assert (engine.info.backend, reference.info.backend) == ("openvino", "onnxruntime")
        expected, found = reference.run(frame), engine.run(frame)
        np.testing.assert_allclose(found["map"], expected["map"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(found["score"], expected["score"], rtol=0, atol=1e-4)
        Inspector(bundle, engine, DecisionSettings()).self_test()
        model = model_info("demo", bundle, engine)
    assert (model.backend, model.precision) == ("openvino", "fp32")


def test_auto_says_why_it_takes_openvino(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    load_engine(bundle, settings(tmp_path, "auto")).close()
    assert "backend=openvino precision=fp32 because=the graph is an OpenVINO IR" in caplog.text


@pytest.mark.parametrize("backend", ["onnxruntime", "onnxruntime_gpu", "tensorrt"])
def test_every_other_engine_refuses_it_in_one_line(
    backend: str, bundle: Bundle, tmp_path: Path
) -> None:
    words = f"expected engine.backend openvino, .* found {backend}; set openvino"
    with pytest.raises(EngineLoadError, match=words) as caught:
        load_engine(bundle, settings(tmp_path, backend))
    assert "\n" not in str(caught.value)
    with pytest.raises(EngineLoadError, match="expected an ONNX graph, found an OpenVINO IR"):
        OnnxEngine(bundle.path(IR_FILE), bundle.graph)


@pytest.mark.parametrize("file", [IR_FILE, values_beside(IR_FILE)])
def test_a_file_that_was_exchanged_since_the_bundle_was_opened_does_not_run(
    file: str, bundle: Bundle, tmp_path: Path
) -> None:
    path = bundle.path(file)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(EngineLoadError, match="altered since the bundle was opened"):
        load_engine(bundle, settings(tmp_path))


def test_values_that_are_cut_short_do_not_load(bundle: Bundle) -> None:
    values = bundle.path(values_beside(IR_FILE))
    values.write_bytes(values.read_bytes()[:1000])
    with pytest.raises(
        EngineLoadError, match="OpenVINO cannot load it: Incorrect weights"
    ) as caught:
        OpenVinoEngine(bundle.path(IR_FILE), bundle.graph)
    assert "\n" not in str(caught.value)
    values.unlink()
    with pytest.raises(EngineLoadError, match=r"detect\.fp32\.bin: .* is missing"):
        OpenVinoEngine(bundle.path(IR_FILE), bundle.graph)


def test_other_values_are_another_engine(bundle: Bundle, tmp_path: Path) -> None:
    with load_engine(bundle, settings(tmp_path)) as engine:
        before = engine_key(bundle, engine.info)
        bundle.manifest.files[values_beside(IR_FILE)] = "0" * 64
        assert engine_key(bundle, engine.info) != before


def test_only_openvino_is_compared_and_it_is_the_reference(bundle: Bundle, tmp_path: Path) -> None:
    found = available_engines(bundle, settings(tmp_path))
    assert [(str(each), each.is_trusted) for each in found] == [
        ("openvino fp32", True), ("openvino bf16", False),
    ]  # fmt: skip
    with found[0].load(bundle.graph) as engine:
        assert engine.info.precision == "fp32"
