"""The engine on the demo's real graph."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import numpy as np
import pytest

from edge.bundle.manifest import TensorSpec
from edge.bundle.store import Bundle, open_bundle
from edge.config.station import EngineSettings
from edge.engines.load import engine_key, load_engine
from edge.engines.onnx import engine as onnx_engine
from edge.engines.onnx.engine import OnnxEngine, physical_cores
from edge.errors import EngineLoadError, InferenceError

DEMO = Path(__file__).resolve().parents[3] / "demo" / "bundle"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(DEMO)


@pytest.fixture
def engine(bundle: Bundle):
    with OnnxEngine(bundle.path(bundle.graph.file), bundle.graph, threads=1) as loaded:
        yield loaded


def frame(bundle: Bundle, seed: int = 0) -> dict[str, np.ndarray]:
    shape = bundle.graph.inputs[0].shape
    return {"frame": np.random.default_rng(seed).integers(0, 255, shape, np.uint8)}


def test_outputs_have_the_declared_shapes(engine: OnnxEngine, bundle: Bundle) -> None:
    outputs = engine.run(frame(bundle))
    assert {name: array.shape for name, array in outputs.items()} == {
        spec.name: spec.shape for spec in bundle.graph.outputs
    }
    assert all(array.dtype == np.float32 for array in outputs.values())


def test_buffers_are_reused_and_inputs_are_copied(engine: OnnxEngine, bundle: Bundle) -> None:
    first_input = frame(bundle, 1)
    first = engine.run(first_input)
    kept = {name: array.copy() for name, array in first.items()}
    other = engine.run(frame(bundle, 2))
    assert all(other[name] is first[name] for name in first), "no allocation per frame"
    assert not np.array_equal(other["map"], kept["map"])
    again = engine.run(first_input)
    assert np.array_equal(again["map"], kept["map"]), "the same input gives the same output"


def test_it_computes_what_a_plain_session_computes(engine: OnnxEngine, bundle: Bundle) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(bundle.path(bundle.graph.file)), providers=["CPUExecutionProvider"]
    )
    given = frame(bundle, 3)
    anomaly_map, score = session.run(["map", "score"], given)
    outputs = engine.run(given)
    assert np.allclose(outputs["map"], anomaly_map, atol=1e-5)
    assert np.allclose(outputs["score"], score, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: {"image": a}, r"expected inputs \['frame'\], got \['image'\]"),
        (lambda a: {}, r"got \[\]"),
        (lambda a: {"frame": a.astype(np.float32)}, "uint8, got .* float32"),
        (lambda a: {"frame": a[:, :-1]}, r"expected \(1, 256, 256, 3\) uint8, got \(1, 255"),
    ],
)
def test_wrong_inputs_are_named(engine: OnnxEngine, bundle: Bundle, change, words: str) -> None:
    with pytest.raises(InferenceError, match=words):
        engine.run(change(frame(bundle)["frame"]))


def test_a_closed_engine_says_so(bundle: Bundle) -> None:
    engine = load_engine(bundle, EngineSettings(threads=1))
    engine.close()
    engine.close()
    with pytest.raises(InferenceError, match="after close"):
        engine.run(frame(bundle))


def test_a_graph_that_differs_from_the_manifest_is_refused(bundle: Bundle) -> None:
    wrong = TensorSpec(name="frame", shape=(1, 128, 128, 3), dtype="uint8")
    graph = bundle.graph.model_copy(update={"inputs": (wrong,)})
    with pytest.raises(EngineLoadError, match=r"expected inputs .*128.* by bundle.json, got"):
        OnnxEngine(bundle.path(graph.file), graph)


def test_threads_and_key(bundle: Bundle) -> None:
    with load_engine(bundle, EngineSettings()) as engine:
        assert engine.info.threads == physical_cores() >= 1
        key = engine_key(bundle, engine.info)
    assert len(key) == 12
    int(key, 16)


def test_spinning_threads_change_no_number_and_sleep_between_frames(bundle: Bundle) -> None:
    with (
        load_engine(bundle, EngineSettings(threads=2, spin="off")) as still,
        load_engine(bundle, EngineSettings(threads=2, spin="on")) as spinning,
    ):
        assert (spun(still), spun(spinning)) == (("0", "no limit"), ("1", "no limit"))
        seen = frame(bundle)
        assert np.array_equal(spinning.run(seen)["map"], still.run(seen)["map"])
        busy = 0.0
        for _ in range(10):
            spinning.run(seen)
            start = time.process_time()
            time.sleep(0.03)
            busy += time.process_time() - start
    assert busy < 0.15, "seconds of CPU in 0.3 s of pauses"


def test_a_station_spins_briefly_where_the_runtime_can_limit_it(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(onnx_engine.ort, "__version__", "1.26.0")
    with load_engine(bundle, EngineSettings(threads=2)) as engine:
        assert spun(engine) == ("1", "20")
    assert "brief needs" not in caplog.text
    monkeypatch.setattr(onnx_engine.ort, "__version__", "1.25.1")
    with load_engine(bundle, EngineSettings(threads=2)) as engine:
        assert spun(engine) == ("0", "no limit"), "an older one would spin without an end"
    assert "engine.spin: brief needs ONNX Runtime 1.26; threads sleep as with off" in caplog.text


def spun(engine: OnnxEngine) -> tuple[str, str]:
    """Whether its threads spin, and for how many microseconds at most."""
    options = engine._session.get_session_options()
    limit = "no limit"
    with contextlib.suppress(RuntimeError):
        limit = options.get_session_config_entry("session.intra_op.spin_duration_us")
    return options.get_session_config_entry("session.intra_op.allow_spinning"), limit


def test_a_file_that_is_not_the_one_of_the_bundle_is_refused(bundle: Bundle) -> None:
    path = bundle.path(bundle.graph.file)
    with pytest.raises(EngineLoadError, match="altered since the bundle was opened"):
        OnnxEngine(path, bundle.graph, threads=1, sha256="0" * 64)


def test_values_in_another_file_are_refused_before_they_are_read(
    bundle: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    # An initializer whose data_location says external.
    tensor = b"\x70\x01"
    whole = bundle.path(bundle.graph.file).read_bytes()
    path.write_bytes(whole + b"\x3a\x04\x2a\x02" + tensor)
    with pytest.raises(EngineLoadError, match="a tensor names another file"):
        OnnxEngine(path, bundle.graph, threads=1)


def test_a_link_is_not_followed(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.symlink_to(bundle.path(bundle.graph.file))
    with pytest.raises(EngineLoadError, match="found a link"):
        OnnxEngine(path, bundle.graph, threads=1)
