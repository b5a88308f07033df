"""OpenVINO on the demo's real graph, held against ONNX Runtime."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from edge.bundle.manifest import TensorSpec
from edge.bundle.store import Bundle, open_bundle
from edge.engines.onnx.engine import OnnxEngine, physical_cores
from edge.engines.openvino import engine as openvino_engine
from edge.engines.openvino.engine import OpenVinoEngine
from edge.errors import EngineLoadError, InferenceError
from edge.inspection.preprocess import to_network
from tests.support.bundles import DEMO_BUNDLE

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="OpenVINO NOT TESTED: pip install 'edge-inspection[openvino]'",
)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(DEMO_BUNDLE)


@pytest.fixture(scope="module")
def engine(bundle: Bundle):
    with OpenVinoEngine(bundle.path(bundle.graph.file), bundle.graph, threads=1) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def frames(bundle: Bundle) -> list[dict[str, np.ndarray]]:
    """All golden pictures as network inputs."""
    made = []
    for image in bundle.golden().images:
        frame = np.zeros(bundle.graph.inputs[0].shape, np.uint8)
        to_network(bundle.golden_pixels(image), bundle.recipe.size_wh, frame[0])
        made.append({"frame": frame})
    return made


def test_it_computes_what_onnx_runtime_computes(
    bundle: Bundle, engine: OpenVinoEngine, frames: list
) -> None:
    assert len(frames) >= 3
    with OnnxEngine(bundle.path(bundle.graph.file), bundle.graph, threads=1) as reference:
        for frame in frames:
            expected, found = reference.run(frame), engine.run(frame)
            assert found.keys() == expected.keys()
            for name, values in expected.items():
                assert found[name].dtype == values.dtype
                np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-4, err_msg=name)


def test_buffers_are_reused_and_inputs_are_copied(engine: OpenVinoEngine, frames: list) -> None:
    given = {"frame": frames[0]["frame"].copy()}
    first = engine.run(given)
    kept = first["map"].copy()
    given["frame"][:] = 0
    assert engine.run(frames[1])["map"] is first["map"], "no allocation per frame"
    assert not np.array_equal(first["map"], kept)
    assert np.array_equal(engine.run(frames[0])["map"], kept)


def test_it_says_what_runs(engine: OpenVinoEngine, bundle: Bundle) -> None:
    import openvino

    info = engine.info
    assert (info.backend, info.precision, info.device, info.threads) == (
        "openvino",
        "fp32",
        "CPU",
        1,
    )
    assert openvino.__version__.startswith(info.version)
    assert not info.is_verified
    with OpenVinoEngine(bundle.path(bundle.graph.file), bundle.graph) as default:
        assert default.info.threads == physical_cores()


def test_bf16_is_asked_for_and_named(bundle: Bundle, engine: OpenVinoEngine, frames: list) -> None:
    path = bundle.path(bundle.graph.file)
    if "BF16" not in capabilities():
        with pytest.raises(EngineLoadError, match="expected OpenVINO to compute in bf16"):
            OpenVinoEngine(path, bundle.graph, arithmetic="bf16")
        return
    with OpenVinoEngine(path, bundle.graph, threads=1, arithmetic="bf16") as rough:
        assert rough.info.precision == "bf16"
        difference = np.abs(rough.run(frames[0])["map"] - engine.run(frames[0])["map"]).max()
    assert 1e-3 < difference < 1, "bf16 differs from FP32 by its rounding"


def capabilities() -> list[str]:
    import openvino

    return openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_another_arithmetic_than_asked_for_is_refused(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a CPU that answers the wish for FP32 with something else.
    monkeypatch.setitem(openvino_engine._HINT, "fp32", "bf16")
    monkeypatch.setattr(
        openvino_engine,
        "_settings",
        lambda threads, arithmetic: {"INFERENCE_PRECISION_HINT": "f32"},
    )
    with pytest.raises(EngineLoadError, match="to compute in bf16, on this CPU it takes f32"):
        OpenVinoEngine(bundle.path(bundle.graph.file), bundle.graph)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: {"image": a}, r"expected inputs \['frame'\], got \['image'\]"),
        (lambda a: {"frame": a.astype(np.float32)}, "uint8, got .* float32"),
        (lambda a: {"frame": a[:, :-1]}, r"got \(1, 255, 256, 3\) uint8"),
    ],
)
def test_wrong_inputs_are_named(engine: OpenVinoEngine, frames: list, change, words: str) -> None:
    with pytest.raises(InferenceError, match=words):
        engine.run(change(frames[0]["frame"]))


def test_a_closed_engine_says_so(bundle: Bundle, frames: list) -> None:
    engine = OpenVinoEngine(bundle.path(bundle.graph.file), bundle.graph, threads=1)
    engine.close()
    engine.close()
    with pytest.raises(InferenceError, match="after close"):
        engine.run(frames[0])


@pytest.mark.parametrize(
    ("keep", "words"), [(5000, "it is cut short or damaged"), (0, "the file is empty")]
)
def test_a_broken_file_is_one_line(bundle: Bundle, tmp_path: Path, keep: int, words: str) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(bundle.path(bundle.graph.file).read_bytes()[:keep])
    with pytest.raises(EngineLoadError, match=f"broken.onnx: .*{words}") as e:
        OpenVinoEngine(path, bundle.graph)
    assert "\n" not in str(e.value)


def test_a_graph_that_differs_from_the_manifest_is_refused(bundle: Bundle) -> None:
    wrong = TensorSpec(name="frame", shape=(1, 128, 128, 3), dtype="uint8")
    graph = bundle.graph.model_copy(update={"inputs": (wrong,)})
    with pytest.raises(EngineLoadError, match=r"expected inputs .*128.* by bundle.json, got"):
        OpenVinoEngine(bundle.path(graph.file), graph)
