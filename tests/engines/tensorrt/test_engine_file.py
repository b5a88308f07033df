"""Side files: an engine runs only where, by what and as it was built."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.bundle.manifest import GraphFile, TensorSpec
from edge.engines.cuda.gpu import Gpu
from edge.engines.tensorrt.engine_file import (
    BuildOptions,
    EngineFile,
    check_engine,
    engine_key,
    read_engine_file,
    side_path,
)
from edge.errors import EngineLoadError
from tests.support.bundles import ROOT
from tests.support.engines import make_machine, write_engine

ONNX = ROOT / "tests" / "models" / "types.onnx"
GRAPH = GraphFile(
    file="models/types.onnx",
    role="types",
    precision="fp32",
    inputs=(TensorSpec(name="frame", shape=(1, 64, 96, 3), dtype="uint8"),),
    outputs=(TensorSpec(name="type_logits", shape=(1, 3, 8, 12), dtype="float32"),),
)
GPU = Gpu(
    name="Orin",
    compute_capability="8.7",
    multiprocessors=8,
    memory_clock_khz=3_199_000,
    driver="12.6",
    runtime="12.6",
    l4t="36.4.3",
)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    return write_engine(tmp_path / "types.engine", ONNX, GRAPH, make_machine())


def check(path: Path, **changes) -> None:
    gpu = make_machine().gpu.model_copy(update=changes.get("gpu", {}))
    side = read_engine_file(path)
    check_engine(
        path, side, changes.get("product", "tensorrt"), changes.get("version", "10.3.0"), gpu
    )


def edit(path: Path, **changes) -> None:
    side = side_path(path)
    side.write_text(json.dumps({**json.loads(side.read_text()), **changes}))


def test_an_engine_as_it_was_built_passes(engine: Path) -> None:
    check(engine)
    check(engine, gpu={"driver": "12.8", "memory_clock_khz": 1, "multiprocessors": 4})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "10.7.0"}, "built by TensorRT 10.3.0, this device has TensorRT 10.7.0"),
        ({"product": "tensorrt_rtx"}, "this device has TensorRT for RTX 10.3.0"),
        (
            {"gpu": {"compute_capability": "8.9", "name": "RTX 4090"}},
            r"built for compute capability 8\.7, this device has 8\.9 \(RTX 4090\)",
        ),
        ({"gpu": {"name": "Orin Nano"}}, "built for GPU Orin, this device has Orin Nano"),
        ({"gpu": {"l4t": "36.5"}}, r"built for Jetson Linux none, this device has 36\.5"),
    ],
)
def test_another_device_or_release_is_named_in_one_line(
    engine: Path, changes: dict, words: str
) -> None:
    with pytest.raises(EngineLoadError, match=words) as caught:
        check(engine, **changes)
    assert_helpful(caught.value)


def test_a_truncated_engine_is_named(engine: Path) -> None:
    engine.write_bytes(engine.read_bytes()[:-1])
    with pytest.raises(EngineLoadError, match=r"expected \d+ bytes .* found \d+; the file is cut"):
        check(engine)


def test_one_altered_byte_is_noticed(engine: Path) -> None:
    data = bytearray(engine.read_bytes())
    data[len(data) // 2] ^= 1
    engine.write_bytes(data)
    with pytest.raises(EngineLoadError, match="altered since it was built"):
        check(engine)


def test_a_missing_side_file_is_named(engine: Path) -> None:
    side_path(engine).unlink()
    with pytest.raises(
        EngineLoadError, match=r"side file types\.engine\.json is missing"
    ) as caught:
        check(engine)
    assert_helpful(caught.value)


def test_a_missing_engine_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineLoadError, match="no such engine"):
        read_engine_file(tmp_path / "none.engine")


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "the file: Invalid JSON"), ('{"schema": "x"}', "schema: "), ("[]", "the file: ")],
)
def test_a_side_file_that_is_none_is_named(engine: Path, text: str, words: str) -> None:
    side_path(engine).write_text(text)
    with pytest.raises(EngineLoadError, match=words):
        check(engine)


def test_a_side_file_made_to_fit_is_noticed(engine: Path) -> None:
    edit(engine, version="10.7.0")
    with pytest.raises(EngineLoadError, match=r"the key does not fit .* altered"):
        check(engine, version="10.7.0")


def test_an_engine_built_without_a_gpu_serves_the_capabilities_it_was_built_for(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rtx.engine"
    path.write_bytes(b"x")
    options = BuildOptions(compute_capabilities=("8.6", "8.9"))
    side = EngineFile(
        key=engine_key("0" * 64, GRAPH, "tensorrt_rtx", "1.7.1", None, options),
        graph=GRAPH,
        graph_sha256="0" * 64,
        product="tensorrt_rtx",
        version="1.7.1",
        gpu=None,
        options=options,
        engine_sha256="2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
        engine_bytes=1,
        build_seconds=0.0,
        created_at="",
        created_by="",
    )
    check_engine(
        path, side, "tensorrt_rtx", "1.7.1", GPU.model_copy(update={"compute_capability": "8.9"})
    )
    with pytest.raises(EngineLoadError, match=r"8\.6 and 8\.9, this device has 8\.7"):
        check_engine(path, side, "tensorrt_rtx", "1.7.1", GPU)


def test_the_key_changes_with_everything_an_engine_depends_on() -> None:
    def key(**changes) -> str:
        values = {
            "graph_sha256": "0" * 64,
            "graph": GRAPH,
            "product": "tensorrt",
            "version": "10.3.0",
            "gpu": GPU,
            "options": BuildOptions(),
        }
        return engine_key(**{**values, **changes})

    shape = TensorSpec(name="frame", shape=(2, 64, 96, 3), dtype="uint8")
    keys = [
        key(),
        key(graph_sha256="1" * 64),
        key(graph=GRAPH.model_copy(update={"precision": "fp16"})),
        key(graph=GRAPH.model_copy(update={"inputs": (shape,)})),
        key(product="tensorrt_rtx"),
        key(version="10.3.1"),
        key(gpu=None),
        *(
            key(gpu=GPU.model_copy(update={name: "1" if isinstance(value, str) else 1}))
            for name, value in GPU.model_dump().items()
        ),
        key(options=BuildOptions(workspace_bytes=1)),
        key(options=BuildOptions(optimization_level=5)),
        key(options=BuildOptions(attention="apart")),
        key(options=BuildOptions(compute_capabilities=("8.7",))),
    ]
    assert len(set(keys)) == len(keys)
    assert key() == key()


def assert_helpful(error: EngineLoadError) -> None:
    text = str(error)
    assert "\n" not in text
    assert "edge-build-engine" in text
