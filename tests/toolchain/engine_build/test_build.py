"""From a bundle to verified engines: the fallback order, the cache, what stays and is refused.

Here TensorRT is a fake whose engines are run by ONNX Runtime; the real builder is in
test_rtx_building.py.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import helper

from edge.bundle.store import GOLDEN_MAPS, open_bundle
from edge.config.station import EngineSettings
from edge.engines.cuda import library as cuda
from edge.engines.load import load_engine, load_types_engine
from edge.engines.onnx.engine import OnnxEngine
from edge.engines.tensorrt import library as tensorrt_library
from edge.engines.tensorrt.engine_file import read_engine_file
from edge.engines.verified import PARITY, find_verified
from edge.errors import EngineBuildError, EngineLoadError, ParityError
from edge.toolchain.engine_build.backends import OnnxRuntimeBackend, TensorRTBackend, find_backend
from edge.toolchain.engine_build.build import Built, build_engines
from edge.toolchain.engine_build.device_parity import golden_outcomes, reference_outcomes
from edge.toolchain.engine_build.source_graphs import cpu_graph
from edge.toolchain.engine_build.target_profile import TargetProfile, read_target
from tests.support.bundles import ROOT, edit_json, make_bundle, set_threshold, sign, with_two_graphs
from tests.support.engines import Machine, make_machine

FAKE_GPU = ROOT / "tests" / "support" / "fake_gpu"
TENSORRT = read_target("jetson-orin-nano-jp62")
FP32 = TENSORRT.model_copy(update={"precision": "fp32"})
CPU = read_target("cpu")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of two small graphs."""
    folder = tmp_path_factory.mktemp("bundles")
    return with_own_golden_maps(with_two_graphs(make_bundle(folder, "pair")))


@pytest.fixture(scope="module")
def small(pair: Path) -> Path:
    """A bundle of one small graph: detect, with a softmax that adds one to its map."""
    folder = pair.with_name("small")
    shutil.copytree(pair, folder)
    graphs = json.loads((folder / "bundle.json").read_text())["graphs"]
    edit_json(folder / "bundle.json", name="small", graphs=graphs[:1])
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    recipe |= {"types_size_wh": None, "defect_types": []}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    golden = json.loads((folder / "golden" / "golden.json").read_text())["images"]
    edit_json(
        folder / "golden" / "golden.json", images=[{**i, "score": i["score"] + 1} for i in golden]
    )
    set_threshold(folder, 1.5)
    path = folder / "models" / "detect.onnx"
    model = onnx.load(str(path))
    (squeeze,) = (node for node in model.graph.node if node.op_type == "Squeeze")
    place = list(model.graph.node).index(squeeze)
    model.graph.node.insert(place, helper.make_node("Softmax", ["cells"], ["one"], axis=1))
    model.graph.node.insert(place + 1, helper.make_node("Add", ["cells", "one"], ["more"]))
    squeeze.input[0] = "more"
    onnx.save(model, str(path))
    return with_own_golden_maps(sign(folder))


def with_own_golden_maps(folder: Path) -> Path:
    """Make the graphs' own answers those of the trained model."""
    bundle = open_bundle(folder)
    with OnnxEngine(bundle.path(bundle.graph.file), bundle.graph) as engine:
        outcomes = golden_outcomes(bundle, engine, None)
    maps = {f"map{index}": outcome.map for index, outcome in enumerate(outcomes)}
    np.savez(folder / GOLDEN_MAPS, **maps)
    return sign(folder)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """An Orin with TensorRT 10.3, for this process and for the one that compiles."""
    made = make_machine()
    monkeypatch.setattr(cuda, "load_cuda", lambda binding: made.cuda)
    monkeypatch.setattr(tensorrt_library, "load_library", lambda product: made.library)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAKE_GPU), str(ROOT)]))
    return made


@dataclass
class Workplace:
    """A folder of engines, and a build into it."""

    machine: Machine
    out: Path

    def build(self, bundle: Path, target: TargetProfile = FP32, **options) -> Built:
        machine = self.machine
        backend = TensorRTBackend(target, machine.library, machine.cuda, machine.gpu, self.out)
        return build_engines(bundle, target, backend, self.out, **options)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.out.iterdir())


@pytest.fixture
def workplace(machine: Machine, tmp_path: Path) -> Workplace:
    return Workplace(machine, tmp_path / "engines")


def test_what_is_built_has_passed_and_runs_on_the_line(pair: Path, workplace: Workplace) -> None:
    built = workplace.build(pair)
    folder, record = built.verified.folder, built.verified.record
    assert built.is_new
    assert {path.name for path in folder.iterdir()} == {
        "detect.engine", "detect.engine.json", "types.engine", "types.engine.json", PARITY,
        f"{PARITY}.seal",
    }  # fmt: skip
    assert record.parity.passed
    assert (record.backend, record.version, record.precision) == ("tensorrt", "10.3.0", "fp32")
    assert record.device == "Orin (8.7)"
    assert record.median_ms > 0
    side = read_engine_file(folder / "types.engine")
    assert (side.graph.role, side.options.workspace_bytes) == ("types", 512 * 2**20)
    bundle = open_bundle(pair)
    settings = EngineSettings(backend="tensorrt", folder=workplace.out)
    with load_engine(bundle, settings) as engine, load_types_engine(bundle, settings) as types:
        assert engine.info.is_verified
        assert types is not None
    workplace.machine.cudart.assert_clean()


def test_the_same_key_is_not_built_twice(small: Path, workplace: Workplace) -> None:
    first = workplace.build(small)
    again = workplace.build(small)
    assert not again.is_new
    assert again.verified == first.verified
    engine = first.verified.folder / "detect.engine"
    engine.write_bytes(engine.read_bytes() + b"x")
    renewed = workplace.build(small)
    assert renewed.is_new, "the engine was altered"
    assert renewed.verified.folder != first.verified.folder
    assert not first.verified.folder.exists(), "it was superseded"
    assert len(find_verified(workplace.out, open_bundle(small).id)) == 1


def test_the_old_engine_stays_until_the_new_one_has_passed(
    small: Path, workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace.build(small)
    before = {path: path.read_bytes() for path in workplace.out.rglob("*") if path.is_file()}
    monkeypatch.setenv("FAKE_TENSORRT_DEFECT", "all")
    with pytest.raises(ParityError, match="does not decide as the reference: score off by"):
        workplace.build(small, force=True)
    after = {path: path.read_bytes() for path in workplace.out.rglob("*") if path.is_file()}
    timing = workplace.out / "timing-10.3.0-orin.cache"
    assert {k: v for k, v in after.items() if k != timing} == {
        k: v for k, v in before.items() if k != timing
    }


def test_the_timing_cache_is_kept_and_a_foreign_one_replaced(
    small: Path, workplace: Workplace
) -> None:
    workplace.build(small)
    cache = workplace.out / "timing-10.3.0-orin.cache"
    assert json.loads(cache.read_text()) == {"builds": 1}
    workplace.build(small, force=True)
    assert json.loads(cache.read_text()) == {"builds": 2}
    cache.write_bytes(b"of another device")
    workplace.build(small, force=True)
    assert json.loads(cache.read_text()) == {"builds": 1}


def test_fused_attention_that_computes_wrong_is_kept_apart(
    small: Path, workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TENSORRT_DEFECT", "fused")
    built = workplace.build(small, TENSORRT, fallback=True)
    record = built.verified.record
    assert (record.precision, record.note) == ("fp16", "attention apart")
    (refused,) = built.refused
    assert refused.startswith("tensorrt fp16: tensorrt 10.3.0 fp16 on Orin (8.7): does not decide")
    assert "fp16 (attention apart)" in str(built)
    side = read_engine_file(built.verified.folder / "detect.engine")
    assert (side.options.attention, side.graph.precision) == ("apart", "fp16")


def test_the_last_variant_is_the_reference_and_the_result_says_so(
    pair: Path, workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TENSORRT_DEFECT", "all")
    built = workplace.build(pair, TENSORRT, fallback=True)
    assert built.verified.record.backend == "onnxruntime"
    assert [reason.split(":")[0] for reason in built.refused] == [
        "tensorrt fp16",
        "tensorrt fp16, attention apart",
        "tensorrt fp32",
    ]
    assert "has no attention that could be kept apart" in built.refused[1]
    said = json.loads(built.as_json())
    assert (said["backend"], said["precision"], len(said["refused"])) == ("onnxruntime", "fp32", 3)
    bundle = open_bundle(pair)
    with load_engine(bundle, EngineSettings(backend="auto", folder=workplace.out)) as engine:
        assert engine.info.backend == "onnxruntime"
    with pytest.raises(EngineLoadError, match="found none for tensorrt"):
        load_engine(bundle, EngineSettings(backend="tensorrt", folder=workplace.out))


def test_int8_without_such_a_graph_says_so(small: Path, workplace: Workplace) -> None:
    target = TENSORRT.model_copy(update={"precision": "int8"})
    with pytest.raises(EngineBuildError, match="has no INT8 graph; pack one"):
        workplace.build(small, target)
    target = CPU.model_copy(update={"precision": "int8"})
    with pytest.raises(EngineBuildError, match="has no int8 graph; pack one"):
        build_engines(small, target, OnnxRuntimeBackend(), workplace.out)


def test_on_a_cpu_types_without_an_int8_form_run_in_fp32(pair: Path) -> None:
    bundle = open_bundle(pair)
    assert bundle.types_graph is not None
    found = cpu_graph(bundle, bundle.types_graph, "int8")
    assert (found.graph.role, found.graph.precision) == ("types", "fp32")
    with pytest.raises(EngineBuildError, match="has no int8 graph; pack one"):
        cpu_graph(bundle, bundle.graph, "int8")


def test_a_reference_that_is_wrong_here_stops_the_build(
    small: Path, workplace: Workplace, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(small, other)
    golden = json.loads((other / "golden" / "golden.json").read_text())
    golden["images"][0]["score"] -= 1.0
    edit_json(other / "golden" / "golden.json", images=golden["images"])
    with pytest.raises(ParityError, match=r"onnxruntime .* does not decide as the reference"):
        workplace.build(sign(other))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"compute_capabilities": ("11.0",)},
            r"expected compute capability 11\.0, this device has 8",
        ),
        (
            {"tensorrt": {"since": "10.16", "below": "12"}},
            r"expected tensorrt 10\.16 or newer, below 12, found 10\.3\.0",
        ),
    ],
)
def test_a_device_of_another_kind_is_refused_before_the_build(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict, words: str
) -> None:
    monkeypatch.setattr(
        "edge.toolchain.engine_build.backends.load_library", lambda product: machine.library
    )
    monkeypatch.setattr(
        "edge.toolchain.engine_build.backends.load_cuda", lambda binding: machine.cuda
    )
    find_backend("orin", TENSORRT, tmp_path)
    target = TargetProfile.model_validate({**TENSORRT.model_dump(), **changes})
    with pytest.raises(EngineBuildError, match=words):
        find_backend("orin", target, tmp_path)


def test_another_batch_is_refused(small: Path, workplace: Workplace) -> None:
    with pytest.raises(EngineBuildError, match="expected a batch of 4 by the target"):
        workplace.build(small, FP32.model_copy(update={"batch": 4}))


def test_a_disk_without_room_is_said_before_the_build(
    small: Path, workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.toolchain.engine_build.build.SPARE_BYTES", 2**60)
    with pytest.raises(EngineBuildError, match="MiB of free space for the build, found"):
        workplace.build(small, fallback=True)


def test_a_folder_that_cannot_be_written_is_one_line(small: Path, workplace: Workplace) -> None:
    workplace.out.write_text("a file")
    with pytest.raises(EngineBuildError, match=r"--out .*: cannot be written"):
        workplace.build(small)


def test_the_reference_names_types_too(pair: Path) -> None:
    bundle = open_bundle(pair)
    outcomes = reference_outcomes(bundle)
    assert len(outcomes) == len(bundle.golden().images)
    assert all(outcome.type_logits is not None for outcome in outcomes)
