"""The demo's bundle on a GPU: built as the build script does, verified, and judging its parts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.bundle.store import open_bundle
from edge.config.station import EngineSettings
from edge.engines.cuda.protocol import Cuda
from edge.engines.load import load_engine
from edge.engines.onnx.engine import OnnxEngine
from edge.engines.onnx.gpu_engine import OnnxGpuEngine
from edge.engines.tensorrt.engine import TensorRTEngine
from edge.engines.tensorrt.library import load_library
from edge.errors import EngineLoadError
from edge.inspection.scorer import FrameScorer
from edge.toolchain.engine_build.backends import find_backend
from edge.toolchain.engine_build.build import Built, build_engines
from edge.toolchain.engine_build.target_profile import TargetProfile
from tests.support.bundles import DEMO_BUNDLE, ROOT

BACKENDS = ("tensorrt", "tensorrt_rtx", "onnxruntime_cuda", "onnxruntime_tensorrt")
# What a GPU or its libraries lack, in the words of TensorRT for RTX and ONNX Runtime.
ABSENT = ("does not support this compute capability", "Please install TensorRT libraries")
PICTURES = sorted((ROOT / "demo" / "images").rglob("*.png"))[::4]


def target(backend: str, precision: str) -> TargetProfile:
    memory = {"workspace": "2GiB", "build": "32GiB"} if "onnx" not in backend else None
    return TargetProfile.model_validate(
        {"title": "this GPU", "backend": backend, "precision": precision, "memory": memory}
    )


@pytest.fixture(
    scope="module", params=[(b, p) for b in BACKENDS for p in ("fp32", "fp16")], ids=str
)
def built(request, cuda: Cuda, tmp_path_factory) -> tuple[Built, Path]:
    backend, precision = request.param
    folder = tmp_path_factory.mktemp("engines")
    profile = target(backend, precision)
    try:
        backend = find_backend("this GPU", profile, folder)
    except EngineLoadError as error:
        pytest.skip(f"NOT RUN: {error}")
    try:
        return build_engines(DEMO_BUNDLE, profile, backend, folder), folder
    except EngineLoadError as error:
        if any(reason in str(error) for reason in ABSENT):
            pytest.skip(f"NOT RUN: {error}")
        raise


def scores(engine) -> np.ndarray:
    bundle = open_bundle(DEMO_BUNDLE)
    scorer = FrameScorer(engine, bundle.recipe, bundle.graph)
    return np.array([scorer.score(cv2.imread(str(path))).score for path in PICTURES])


def test_it_decides_as_the_cpu_does(built):
    made, folder = built
    bundle = open_bundle(DEMO_BUNDLE)
    family = (
        "tensorrt" if made.verified.record.backend.startswith("tensorrt") else "onnxruntime_gpu"
    )
    with load_engine(bundle, EngineSettings(backend=family, folder=folder)) as engine:
        assert "NVIDIA" in engine.info.device
        found = scores(engine)
    with OnnxEngine(bundle.path(bundle.graph.file), bundle.graph) as reference:
        expected = scores(reference)
    threshold = bundle.thresholds.score.value
    assert np.abs(found - expected).max() <= made.verified.record.score_tolerance
    assert ((found > threshold) == (expected > threshold)).all()


def engine_of(built, **more) -> TensorRTEngine:
    made, _ = built
    record = made.verified.record
    if not record.backend.startswith("tensorrt"):
        pytest.skip("of TensorRT's own engines only")
    bundle = open_bundle(DEMO_BUNDLE)
    library = load_library(record.backend)
    return TensorRTEngine(made.verified.file("detect"), bundle.graph, library, **more)


def test_a_cuda_graph_changes_nothing(built, cuda: Cuda):
    with (
        engine_of(built, cuda=cuda) as one,
        engine_of(built, cuda=cuda, use_cuda_graph=False) as two,
    ):
        assert np.array_equal(scores(one), scores(two))


def test_a_cuda_graph_changes_nothing_in_onnx_runtime(built):
    made, _ = built
    record, bundle = made.verified.record, open_bundle(DEMO_BUNDLE)
    if record.backend != "onnxruntime_cuda":
        pytest.skip("of ONNX Runtime's CUDA provider only")
    path = made.verified.file("detect")
    found = []
    for use_cuda_graph in (True, False):
        with OnnxGpuEngine(path, bundle.graph, "cuda", use_cuda_graph=use_cuda_graph) as engine:
            found.append(scores(engine))
    assert np.abs(found[0] - found[1]).max() <= 1e-3 * bundle.thresholds.score.value
    assert np.ptp(found[0]) > bundle.thresholds.score.value / 2, "each frame is judged anew"


def test_two_engines_run_at_the_same_time(built, cuda: Cuda):
    rng = np.random.default_rng(0)
    shape = open_bundle(DEMO_BUNDLE).graph.inputs[0].shape
    frames = [{"frame": rng.integers(0, 256, shape).astype(np.uint8)} for _ in range(2)]
    with engine_of(built, cuda=cuda) as one, engine_of(built, cuda=cuda) as two:
        alone = [
            {n: a.copy() for n, a in e.run(f).items()}
            for e, f in zip((one, two), frames, strict=True)
        ]
        for _ in range(20):
            one.start(frames[0])
            two.start(frames[1])
            for engine, expected in ((one, alone[0]), (two, alone[1])):
                for name, array in engine.finish().items():
                    assert np.array_equal(array, expected[name])


def test_a_truncated_engine_is_one_line(built, cuda: Cuda):
    engine_of(built, cuda=cuda).close()
    path = built[0].verified.file("detect")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    try:
        with pytest.raises(EngineLoadError) as caught:
            engine_of(built, cuda=cuda)
    finally:
        path.write_bytes(whole)
    assert "\n" not in str(caught.value)
