"""The real builder of TensorRT for RTX, which needs no GPU: plans, side files, refusals."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.bundle.manifest import GraphFile, TensorSpec
from edge.engines.cuda.gpu import Gpu
from edge.engines.cuda.library import load_cuda
from edge.engines.tensorrt.engine_file import (
    BuildOptions,
    EngineFile,
    check_engine,
    read_engine_file,
    side_path,
)
from edge.engines.tensorrt.library import Library, load_library, make_library
from edge.errors import EngineBuildError, EngineLoadError
from edge.toolchain.engine_build.backends import find_backend
from edge.toolchain.engine_build.target_profile import read_target
from edge.toolchain.engine_build.tensorrt.build import build_engine
from edge.toolchain.engine_build.tensorrt.compile import configure
from edge.toolchain.engine_build.tensorrt.network import keep_attention_apart, make_network
from tests.support.bundles import ROOT

trt = pytest.importorskip("tensorrt_rtx", reason="NOT RUN: pip install 'edge-inspection[rtx]'")

ONNX = ROOT / "tests" / "models" / "types.onnx"
GRAPH = GraphFile(
    file="models/types.onnx",
    role="types",
    precision="fp32",
    inputs=(TensorSpec(name="frame", shape=(1, 64, 96, 3), dtype="uint8"),),
    outputs=(TensorSpec(name="type_logits", shape=(1, 3, 8, 12), dtype="float32"),),
)
AMPERE = BuildOptions(compute_capabilities=("8.6",))
RTX_3060 = Gpu(
    name="NVIDIA GeForce RTX 3060",
    compute_capability="8.6",
    multiprocessors=28,
    memory_clock_khz=7_501_000,
    driver="12.8",
    runtime="12.9",
)


def build(path: Path, onnx_file: Path = ONNX, options: BuildOptions = AMPERE, **more) -> EngineFile:
    return build_engine(
        onnx_file, GRAPH, path, "tensorrt_rtx", trt.__version__, None, options, **more
    )


def check(path: Path, gpu: Gpu = RTX_3060, version: str = trt.__version__) -> None:
    check_engine(path, read_engine_file(path), "tensorrt_rtx", version, gpu)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, float]]]:
    """A real engine for Ampere, and what its build reported."""
    path, reports = tmp_path_factory.mktemp("rtx") / "types.engine", []
    build(path, report=lambda phase, share: reports.append((phase, share)))
    return path, reports


@pytest.fixture
def engine(built, tmp_path: Path) -> Path:
    """A copy to damage."""
    path = tmp_path / "types.engine"
    path.write_bytes(built[0].read_bytes())
    side_path(path).write_bytes(side_path(built[0]).read_bytes())
    return path


def test_a_real_graph_becomes_an_engine_with_its_side_file(built) -> None:
    path, reports = built
    check(path)
    side = read_engine_file(path)
    assert side.version == trt.__version__
    assert side.engine_bytes == path.stat().st_size > 10_000
    assert not path.read_bytes().startswith(b"{"), "no header before the engine"
    assert reports
    assert all(0 < share <= 1 for _, share in reports)


def test_a_build_is_wrong_for_every_other_device_and_release(engine: Path) -> None:
    ada = RTX_3060.model_copy(update={"compute_capability": "8.9", "name": "RTX 4090"})
    for changes, words in (
        ({"gpu": ada}, r"built for compute capability 8\.6, this device has 8\.9 \(RTX 4090\)"),
        ({"version": "1.4.0"}, "built by TensorRT for RTX .*, this device has .* 1.4.0"),
    ):
        with pytest.raises(EngineLoadError, match=words) as caught:
            check(engine, **changes)
        assert "\n" not in str(caught.value)


def test_damage_is_named(engine: Path) -> None:
    whole = engine.read_bytes()
    engine.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EngineLoadError, match="the file is cut off"):
        check(engine)
    engine.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(EngineLoadError, match="altered since it was built"):
        check(engine)
    side_path(engine).unlink()
    with pytest.raises(EngineLoadError, match=r"side file types\.engine\.json is missing"):
        check(engine)


def test_a_machine_without_a_gpu_is_told_before_the_build(tmp_path: Path) -> None:
    pytest.importorskip("cuda.bindings.runtime", reason="needs cuda-bindings: extra gpu")
    try:
        load_cuda()
    except EngineLoadError:
        pass
    else:
        pytest.skip("this machine has a GPU")
    target = read_target("rtx", ROOT / "build" / "targets")
    with pytest.raises(EngineLoadError, match=r"^CUDA: .*; install the NVIDIA driver"):
        find_backend("rtx", target, tmp_path)


def test_an_operator_that_tensorrt_refuses_is_named(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["frame"], ["turned"], perm=[0, 3, 1, 2], name="turn"),
            helper.make_node("Cast", ["turned"], ["map"], to=TensorProto.FLOAT),
        ],
        "bytes",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, (1, 8, 8, 3))],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, (1, 3, 8, 8))],
    )
    path = tmp_path / "bytes.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), str(path))
    with pytest.raises(EngineBuildError, match=r"bytes\.onnx: .* Transpose turn: .*UInt8") as info:
        build(tmp_path / "a.engine", path)
    assert "\n" not in str(info.value)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_no_graph_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.onnx"
    path.write_bytes(b"not an ONNX file")
    with pytest.raises(EngineBuildError, match=r"none\.onnx: TensorRT for RTX .* does not take it"):
        build(tmp_path / "a.engine", path)


def test_a_compute_capability_that_the_builder_does_not_know_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineBuildError, match=r"knows no compute capability 8\.7"):
        build(tmp_path / "a.engine", options=BuildOptions(compute_capabilities=("8.7",)))


def test_a_build_that_takes_too_much_memory_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(EngineBuildError, match=r"took more than 30 MiB of memory; raise memory\.b"):
        build(tmp_path / "a.engine", memory_bytes=30 * 2**20)
    assert list(tmp_path.iterdir()) == []


def test_an_engine_whose_side_file_finds_no_room_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    # The engine itself is written by another process.
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(EngineBuildError, match=r"engine\.json: cannot be written: No space"):
        build(tmp_path / "a.engine")
    assert list(tmp_path.iterdir()) == []


def test_a_build_that_crashes_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crash = tmp_path / "python"
    crash.write_text("#!/bin/sh\nkill -9 $$\n")
    crash.chmod(crash.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(crash))
    with pytest.raises(EngineBuildError, match=r"ended: signal 9; .* when memory is short"):
        build(tmp_path / "a.engine")
    crash.write_text("#!/bin/sh\necho 'Traceback' >&2\necho 'OSError: no library' >&2\nexit 1\n")
    with pytest.raises(EngineBuildError, match="ended: OSError: no library"):
        build(tmp_path / "a.engine")


def test_fp32_is_not_computed_in_tf32_and_limits_are_set() -> None:
    library = load_library("tensorrt_rtx")
    config = configure(library, trt.Builder(library.logger), BuildOptions(workspace_bytes=2**27))
    assert not config.get_flag(trt.BuilderFlag.TF32)
    assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == 2**27


@pytest.fixture(scope="module")
def attention(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two heads of FP16 self-attention over 64 places."""
    random = np.random.default_rng(0)
    weight = random.normal(0, 0.1, (64, 192)).astype(np.float16)
    shape = np.array([1, 64, 3, 2, 32], np.int64)
    back = np.array([1, 64, 64], np.int64)
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["qkv"]),
        helper.make_node("Reshape", ["qkv", "shape"], ["heads"]),
        helper.make_node("Transpose", ["heads"], ["turned"], perm=[2, 0, 3, 1, 4]),
        helper.make_node("Split", ["turned"], ["q1", "k1", "v1"], axis=0, num_outputs=3),
        *(helper.make_node("Squeeze", [f"{n}1", "first"], [n]) for n in "qkv"),
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["q", "kt"], ["products"]),
        helper.make_node("Softmax", ["products"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", "v"], ["mixed"]),
        helper.make_node("Transpose", ["mixed"], ["order"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["order", "back"], ["y"]),
    ]
    constants = {"weight": weight, "shape": shape, "back": back, "first": np.array([0], np.int64)}
    half = TensorProto.FLOAT16
    graph = helper.make_graph(
        nodes,
        "attention",
        [helper.make_tensor_value_info("x", half, (1, 64, 64))],
        [helper.make_tensor_value_info("y", half, (1, 64, 64))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = tmp_path_factory.mktemp("attention") / "attention.onnx"
    onnx.save(model, str(path))
    return path


def fused_attentions(path: Path, apart: bool) -> tuple[int, int]:
    """Count fused attention kernels in the builder's own layer report, and steps put between."""
    library, messages = listening()
    builder = trt.Builder(library.logger)
    network, parser = make_network(library, builder, path)
    steps = keep_attention_apart(trt, network) if apart else 0
    config = configure(library, builder, AMPERE)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    assert builder.build_serialized_network(network, config) is not None, library.why()
    del parser
    report = next(text for text in messages if text.startswith("Layers:"))
    return len(re.findall(r"^Name: \S*_mha_", report, re.MULTILINE)), steps


def listening() -> tuple[Library, list[str]]:
    """The library with a logger that keeps the layer report."""
    quiet, messages = make_library("tensorrt_rtx", trt), []

    class Listener(trt.ILogger):
        def __init__(self):
            trt.ILogger.__init__(self)

        def log(self, level, text):
            messages.append(text)
            quiet.logger.log(level, text)

    return Library("tensorrt_rtx", trt, Listener(), quiet.problems), messages


def test_attention_is_fused_and_can_be_kept_apart(attention: Path) -> None:
    assert fused_attentions(attention, apart=False) == (1, 0)
    assert fused_attentions(attention, apart=True) == (0, 1)


def test_a_graph_without_attention_has_none_to_keep_apart(tmp_path: Path) -> None:
    options = AMPERE.model_copy(update={"attention": "apart"})
    with pytest.raises(EngineBuildError, match="no attention that could be kept apart"):
        build(tmp_path / "a.engine", options=options)
