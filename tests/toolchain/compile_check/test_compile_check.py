"""Every kind of graph compiles for a GPU as it should, and the check sees when one does not.

The builder is the real one, TensorRT for RTX on the CPU. Presets at their true shapes are the
business of benchmarks/compile_table.py.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edge.errors import EngineBuildError
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.settings import BranchSettings, InpFormerNet, ModelSettings
from edge.methods.multiads.network import MultiAdsDetector
from edge.methods.multiads.settings import ClipSettings, MultiAdsSettings
from edge.networks.backbones.settings import VitSettings
from edge.toolchain.compile_check import builder
from edge.toolchain.compile_check.builder import Compiled, compile_graph
from edge.toolchain.compile_check.layer_report import read_report
from edge.toolchain.compile_check.preset_graphs import (
    PRECISIONS,
    PRESET_GRAPHS,
    PresetGraph,
    filled,
    in_precision,
)
from edge.toolchain.compile_check.rules import Examined, examine
from edge.toolchain.quantization.graph import Graph, element_types, make_node

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None,
    reason="COMPILE CHECK NOT RUN: pip install 'edge-inspection[rtx]' (TensorRT for RTX)",
)


def small_vit() -> Detector:
    """INP-Former on a DINOv2 of two blocks, with all branches."""
    backbone = VitSettings(
        name="dinov2_registers", width=128, depth=2, heads=2, taps=(0, 1), groups=2
    )
    settings = ModelSettings(
        size_wh=(112, 84),
        backbone=backbone,
        inp_former=InpFormerNet(width=128, depth=2, heads=2, mlp_ratio=4),
        branches=BranchSettings(memory=32, position_dims=8, image_dims=8),
    )
    return filled(Detector(settings))


def small_clip() -> MultiAdsDetector:
    """MultiADS on a CLIP of two blocks, with its image vector and a memory."""
    backbone = ClipSettings(
        name="clip",
        width=128,
        depth=2,
        heads=2,
        patch=16,
        projection=64,
        position_grid=7,
        taps=(0, 1),
    )
    settings = MultiAdsSettings(
        size_wh=(112, 96),
        backbone=backbone,
        text_width=64,
        product="part",
        types=("scratch", "dent"),
        memory=42,
        image_share=0.5,
    )
    return filled(MultiAdsDetector(settings))


GRAPHS = {
    "lite": PRESET_GRAPHS["lite-types"],
    "vit": PresetGraph("vit", small_vit),
    "clip": PresetGraph("clip", small_clip),
}
# Softmax attentions: of the prototypes, and one per block.
ATTENTIONS = {"lite": 1, "vit": 3, "clip": 2}
SLOWEST = ("lite", "fp32")

Build = Callable[[str, str], tuple[onnx.ModelProto, Compiled]]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Export, rewrite and compile a graph in a precision, each once."""
    folder = tmp_path_factory.mktemp("graphs")
    done: dict[tuple[str, str], tuple[onnx.ModelProto, Compiled]] = {}

    def built(name: str, precision: str) -> tuple[onnx.ModelProto, Compiled]:
        if (name, precision) not in done:
            source = folder / f"{name}.fp32.onnx"
            if not source.is_file():
                GRAPHS[name].export(source)
            model = in_precision(onnx.load(str(source)), precision)
            path = folder / f"{name}.{precision}.onnx"
            onnx.save(model, str(path))
            done[name, precision] = model, compile_graph(path)
        return done[name, precision]

    return built


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        pytest.param(name, precision, marks=[pytest.mark.slow] * ((name, precision) == SLOWEST))
        for name in GRAPHS
        for precision in PRECISIONS
    ],
)
def test_it_compiles_as_its_types_say(build: Build, name: str, precision: str) -> None:
    model, compiled = build(name, precision)
    found = examine(model, compiled.layers)
    assert found.problems == ()
    assert found.attentions == ATTENTIONS[name]
    assert found.as_int8 == found.int8
    assert (found.int8 > 0) == (precision == "int8")
    if precision != "fp32":
        assert found.fused == found.attentions
    assert compiled.size_bytes > 100_000
    assert found.layers > 10


def test_an_engine_in_fp32_is_not_one_in_half(build: Build) -> None:
    """What the builder would make of a graph whose types it did not honour."""
    half, _ = build("vit", "fp16")
    _, single = build("vit", "fp32")
    problems = examine(half, single.layers).problems
    assert sum("not fused" in problem for problem in problems) == ATTENTIONS["vit"]
    assert any("reads FP32, the graph has" in problem for problem in problems)


def test_an_engine_in_half_is_not_one_in_int8(build: Build) -> None:
    int8, _ = build("vit", "int8")
    _, half = build("vit", "fp16")
    found = examine(int8, half.layers)
    assert found.as_int8 == 0
    assert sum("not an INT8 layer" in problem for problem in found.problems) == found.int8


def test_attention_that_does_not_fuse_is_seen(build: Build, tmp_path: Path) -> None:
    """The builder takes an attention in pieces without a word."""
    model, _ = build("vit", "fp16")
    broken = examine_rewritten(model, read_first_weights, tmp_path)
    assert broken.fused == ATTENTIONS["vit"] - 1
    assert len(broken.problems) == 1
    assert "attention in half precision, not fused" in broken.problems[0]


def examine_rewritten(
    model: onnx.ModelProto, rewrite: Callable[[Graph], None], folder: Path
) -> Examined:
    graph = Graph(model)
    rewrite(graph)
    path = folder / "rewritten.onnx"
    onnx.save(graph.checked(), str(path))
    return examine(graph.model, compile_graph(path).layers)


def read_first_weights(graph: Graph) -> None:
    """Let the score depend on the weights of an attention, so that they must exist somewhere."""
    softmax = next(node for node in graph.nodes if node.op_type == "Softmax")
    score = graph.producer("score")
    score.output[0] = "score_before"
    level = make_node("ReduceMax", [softmax.output[0]], "level", keepdims=0)
    added = make_node("Add", ["score_before", "level"], "score")
    graph.rewrite([*graph.nodes, level, added])


def test_a_refused_graph_is_one_line_with_its_node(tmp_path: Path) -> None:
    """Bytes may come in, but nothing is computed with them: why frames are made float first."""
    frame = helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, 8, 8, 3])
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])
    nodes = [
        helper.make_node("Transpose", ["frame"], ["turned"], "turn", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["turned"], ["image"], "cast", to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(nodes, "graph", [frame], [image])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = tmp_path / "bytes.onnx"
    onnx.save(model, str(path))
    with pytest.raises(EngineBuildError, match=r"bytes.onnx: .* does not take it: Transpose") as e:
        compile_graph(path)
    assert "\n" not in str(e.value)


def test_why_turing_is_left_out(build: Build, tmp_path: Path) -> None:
    model, _ = build("vit", "fp16")
    path = tmp_path / "vit.onnx"
    onnx.save(model, str(path))
    assert builder.UNSUPPORTED not in builder.capabilities()
    assert {"8.6", "8.9", "12.0"} <= set(builder.capabilities())
    with pytest.raises(EngineBuildError, match=r"SM75.*FP32 GEMM is not supported"):
        compile_graph(path, (builder.UNSUPPORTED,))


def test_a_report_that_is_missing_or_new_is_not_taken_for_an_empty_one() -> None:
    with pytest.raises(ValueError, match="begins with Layers:"):
        read_report(["Engine generation completed", "Total Weights Memory: 5"])
    with pytest.raises(ValueError, match="cannot be parsed in the layer report: Name: a, Kind"):
        read_report(["Layers:\nName: a, Kind: gemm\n"])


def test_nothing_that_judges_is_in_half_precision(build: Build) -> None:
    """Squares of what is far from good exceed half's range: the score would not be finite."""
    model, _ = build("vit", "fp16")
    types = element_types(model)
    judging = [node for node in model.graph.node if node.op_type in {"Clip", "Sqrt", "TopK"}]
    assert len(judging) > 5
    assert {types[node.output[0]] for node in judging} == {TensorProto.FLOAT}
