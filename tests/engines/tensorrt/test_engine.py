"""TensorRT's engine on a fake GPU: memory, order, errors, and the numbers themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.bundle.manifest import TensorSpec
from edge.bundle.store import Bundle, open_bundle
from edge.engines.onnx.engine import OnnxEngine
from edge.engines.tensorrt.engine import TensorRTEngine
from edge.errors import EngineLoadError, InferenceError
from tests.support.bundles import DEMO_BUNDLE
from tests.support.engines import Machine, load, make_machine, random_frame, write_engine
from tests.support.fake_cuda import Misuse, cudaError_t


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(DEMO_BUNDLE)


@pytest.fixture
def machine() -> Machine:
    return make_machine()


@pytest.fixture
def path(tmp_path: Path, bundle: Bundle, machine: Machine) -> Path:
    onnx = bundle.path(bundle.graph.file)
    return write_engine(tmp_path / "detect.engine", onnx, bundle.graph, machine)


@pytest.fixture(params=[True, False], ids=["graph", "no graph"])
def engine(request, path: Path, bundle: Bundle, machine: Machine):
    with load(path, bundle.graph, machine, use_cuda_graph=request.param) as loaded:
        yield loaded
    machine.cudart.assert_clean()


def test_it_says_what_the_reference_says(engine: TensorRTEngine, bundle: Bundle) -> None:
    with OnnxEngine(bundle.path(bundle.graph.file), bundle.graph, 1) as reference:
        for seed in range(3):
            frame = random_frame(bundle.graph, seed)
            expected, found = reference.run(frame), engine.run(frame)
            assert set(found) == set(expected)
            for name, array in expected.items():
                assert found[name].dtype == array.dtype
                assert np.allclose(found[name], array, atol=1e-5)


def test_nothing_is_allocated_after_loading(
    engine: TensorRTEngine, bundle: Bundle, machine: Machine
) -> None:
    before = set(machine.cudart.memory)
    first = engine.run(random_frame(bundle.graph, 1))
    second = engine.run(random_frame(bundle.graph, 2))
    assert set(machine.cudart.memory) == before
    tensors = (*bundle.graph.inputs, *bundle.graph.outputs)
    assert len(before) == 2 * len(tensors), "one buffer on each side"
    assert all(first[name] is second[name] for name in first)


def test_a_cuda_graph_is_launched_as_one_and_changes_no_number(
    path: Path, bundle: Bundle, machine: Machine
) -> None:
    frame = random_frame(bundle.graph)
    with load(path, bundle.graph, machine, use_cuda_graph=False) as plain:
        expected = plain.run(frame)["map"].copy()
        downloads = ["download"] * len(bundle.graph.outputs)
        verbs = ["upload", "execute", *downloads, "synchronise"]
        assert [verb for verb, _ in machine.cudart.log[-len(verbs) :]] == verbs
    with load(path, bundle.graph, machine) as captured:
        machine.cudart.log.clear()
        assert np.array_equal(captured.run(frame)["map"], expected)
        assert [verb for verb, _ in machine.cudart.log] == ["launch", "synchronise"]


@pytest.mark.parametrize("status", [{"cudaStreamBeginCapture": 900}, {"cudaGraphInstantiate": 901}])
def test_without_capture_it_runs_all_the_same(
    path: Path, bundle: Bundle, machine: Machine, status: dict
) -> None:
    machine.cudart.statuses = {name: cudaError_t(value) for name, value in status.items()}
    with load(path, bundle.graph, machine) as engine:
        first = engine.run(random_frame(bundle.graph, 1))["map"].copy()
        assert not np.array_equal(engine.run(random_frame(bundle.graph, 2))["map"], first)
        assert np.isfinite(first).all()
    machine.cudart.assert_clean()


def test_two_engines_overlap_on_two_streams(path: Path, bundle: Bundle, machine: Machine) -> None:
    with load(path, bundle.graph, machine) as one, load(path, bundle.graph, machine) as two:
        frames = [random_frame(bundle.graph, seed) for seed in (1, 2)]
        alone = [one.run(frame)["map"].copy() for frame in frames]
        machine.cudart.log.clear()
        one.start(frames[0])
        two.start(frames[1])
        assert np.array_equal(one.finish()["map"], alone[0])
        assert np.array_equal(two.finish()["map"], alone[1])
        verbs, streams = zip(*machine.cudart.log, strict=True)
        assert verbs == ("launch", "launch", "synchronise", "synchronise")
        assert streams[0] == streams[2] != streams[1] == streams[3]


def test_what_callers_hold_outlives_the_engine(
    path: Path, bundle: Bundle, machine: Machine
) -> None:
    engine = load(path, bundle.graph, machine)
    found = engine.run(random_frame(bundle.graph))["map"]
    kept = found.copy()
    engine.close()
    assert np.array_equal(found, kept)


def test_closing_twice_is_fine_and_running_afterwards_is_not(
    path: Path, bundle: Bundle, machine: Machine
) -> None:
    engine = load(path, bundle.graph, machine)
    engine.start(random_frame(bundle.graph))
    engine.close()
    engine.close()
    machine.cudart.assert_clean()
    with pytest.raises(InferenceError, match="run after close"):
        engine.run(random_frame(bundle.graph))
    with pytest.raises(InferenceError, match="finish without start"):
        engine.finish()


def test_a_second_start_is_refused_and_the_first_is_unharmed(
    engine: TensorRTEngine, bundle: Bundle
) -> None:
    frame = random_frame(bundle.graph, 1)
    expected = engine.run(frame)["map"].copy()
    engine.start(frame)
    with pytest.raises(InferenceError, match="started again"):
        engine.start(random_frame(bundle.graph, 2))
    assert np.array_equal(engine.finish()["map"], expected)


def test_wrong_inputs_are_named(engine: TensorRTEngine, bundle: Bundle) -> None:
    with pytest.raises(InferenceError, match=r"uint8, got .* float32"):
        engine.run({"frame": random_frame(bundle.graph)["frame"].astype(np.float32)})
    engine.run(random_frame(bundle.graph))


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        ("deserialize_cuda_engine", r"TensorRT 10\.3\.0 cannot load it: Serialization assertion"),
        ("create_execution_context", "has no memory to run it"),
        ("set_tensor_address", 'does not take an address for "frame"'),
        ("execute_async_v3", "the first run failed: engine: TensorRT failed"),
    ],
)
def test_what_tensorrt_only_returns_becomes_one_line(
    path: Path, bundle: Bundle, machine: Machine, fails: str, words: str
) -> None:
    machine.trt.fails.add(fails)
    with pytest.raises(EngineLoadError, match=words) as caught:
        load(path, bundle.graph, machine)
    assert "\n" not in str(caught.value)
    machine.cudart.assert_clean()


@pytest.mark.parametrize("call", ["cudaMalloc", "cudaHostAlloc", "cudaMemcpyAsync"])
def test_a_failed_load_leaves_nothing_behind(
    path: Path, bundle: Bundle, machine: Machine, call: str
) -> None:
    machine.cudart.statuses[call] = cudaError_t.cudaErrorMemoryAllocation
    with pytest.raises(EngineLoadError, match=rf"CUDA: {call}: .*; stop other programs"):
        load(path, bundle.graph, machine)
    machine.cudart.assert_clean()


def test_a_failed_run_is_one_line_and_the_next_may_work(
    path: Path, bundle: Bundle, machine: Machine
) -> None:
    with load(path, bundle.graph, machine) as engine:
        for call in ("cudaGraphLaunch", "cudaStreamSynchronize"):
            machine.cudart.statuses = {call: cudaError_t.cudaErrorIllegalAddress}
            with pytest.raises(InferenceError, match=f"{call}: .*restart the process"):
                engine.run(random_frame(bundle.graph))
        machine.cudart.statuses = {}
        assert np.isfinite(engine.run(random_frame(bundle.graph))["map"]).all()
    machine.cudart.assert_clean()


def test_a_run_that_tensorrt_refuses_is_settled_before_the_next(
    path: Path, bundle: Bundle, machine: Machine
) -> None:
    with load(path, bundle.graph, machine, use_cuda_graph=False) as engine:
        machine.trt.fails.add("execute_async_v3")
        with pytest.raises(InferenceError, match="TensorRT failed"):
            engine.run(random_frame(bundle.graph))
        machine.trt.fails.clear()
        engine.run(random_frame(bundle.graph))
    machine.cudart.assert_clean()


def test_tensors_other_than_the_bundles_are_refused(
    path: Path, bundle: Bundle, machine: Machine
) -> None:
    frame = TensorSpec(name="frame", shape=(1, 128, 128, 3), dtype="uint8")
    graph = bundle.graph.model_copy(update={"inputs": (frame,)})
    with pytest.raises(EngineLoadError, match=r"expected inputs .*128.* by bundle\.json, got"):
        load(path, graph, machine)
    machine.cudart.assert_clean()


def test_the_side_file_is_verified_before_tensorrt_sees_the_engine(
    path: Path, bundle: Bundle, machine: Machine
) -> None:
    path.write_bytes(path.read_bytes()[:1000])
    machine.trt.Runtime = None
    with pytest.raises(EngineLoadError, match="cut off"):
        load(path, bundle.graph, machine)


def early_free(engine: TensorRTEngine) -> None:
    engine._cuda.free(next(iter(engine._buffers.values())))
    engine.run(FRAME)


def freed_while_running(engine: TensorRTEngine) -> None:
    engine.start(FRAME)
    engine._cuda.free(engine._buffers["map"])


def closed_without_waiting(engine: TensorRTEngine) -> None:
    engine.start(FRAME)
    engine._is_running = False
    engine.close()


def freed_twice(engine: TensorRTEngine) -> None:
    engine._made.callback(engine._cuda.free, engine._buffers["map"])
    engine.close()


def half_a_buffer(engine: TensorRTEngine) -> None:
    buffer = engine._buffers["frame"]
    object.__setattr__(buffer, "host", buffer.host[: buffer.host.size // 2])
    engine._captured = None
    engine.run(FRAME)


def stream_given_back_early(engine: TensorRTEngine) -> None:
    engine.start(FRAME)
    engine._cuda.close_stream(engine._stream)


def graph_outlives_its_memory(engine: TensorRTEngine) -> None:
    launch = engine._captured.launch
    engine.close()
    launch()


def leak(engine: TensorRTEngine) -> None:
    engine._made.pop_all()
    engine.close()
    engine._cuda._cuda.assert_clean()


FRAME = {"frame": np.zeros((1, 256, 256, 3), np.uint8)}


@pytest.mark.parametrize(
    ("defect", "words"),
    [
        (early_free, "use after free"),
        (freed_while_running, "missing synchronisation"),
        (closed_without_waiting, "given back while work waits"),
        (freed_twice, "double free"),
        (half_a_buffer, "wrong size"),
        (stream_given_back_early, "given back while work waits"),
        (graph_outlives_its_memory, "use after free: a graph"),
        (leak, "leak"),
    ],
)
def test_the_fake_catches_each_kind_of_misuse(
    path: Path, bundle: Bundle, machine: Machine, defect, words: str
) -> None:
    with pytest.raises(Misuse, match=words):
        defect(load(path, bundle.graph, machine))


def test_the_fake_catches_a_result_read_too_early(
    path: Path, bundle: Bundle, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load(path, bundle.graph, machine)
    with monkeypatch.context() as patch:
        patch.setattr(engine._cuda, "synchronise", lambda stream: None)
        assert np.isnan(engine.run(FRAME)["map"]).all()
    machine.cuda.synchronise(engine._stream)
    assert np.isfinite(engine.run(FRAME)["map"]).all()
    engine.close()
