"""Which engine a station gets: only what has passed parity on this device, and it says which."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edge.bundle.store import Bundle, open_bundle
from edge.config.station import DecisionSettings, EngineSettings
from edge.engines.cuda import library as cuda
from edge.engines.load import engine_key, load_engine, load_types_engine
from edge.engines.tensorrt import library as tensorrt_library
from edge.engines.verified import PARITY, cpu_name, find_verified
from edge.errors import EngineLoadError
from edge.inspection.inspector import Inspector
from edge.station.recipes.recipes import model_info
from tests.support.bundles import DEMO_BUNDLE, make_bundle, with_two_graphs
from tests.support.engines import (
    Machine,
    make_machine,
    random_frame,
    write_engine,
    write_record,
    write_sealed,
)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(DEMO_BUNDLE)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A device with TensorRT 10.3 on an Orin, as far as our code can tell."""
    made = make_machine()
    monkeypatch.setattr(cuda, "load_cuda", lambda binding: made.cuda)
    monkeypatch.setattr(tensorrt_library, "load_library", lambda product: made.library)
    return made


@pytest.fixture
def folder(tmp_path: Path, bundle: Bundle, machine: Machine) -> Path:
    """Engines as a build on that device leaves them."""
    place = tmp_path / "engines" / "demo"
    onnx = bundle.path(bundle.graph.file)
    engine = write_engine(place / "detect.engine", onnx, bundle.graph, machine)
    write_record(place, bundle, {"detect": engine})
    return tmp_path / "engines"


def settings(folder: Path, backend: str = "tensorrt") -> EngineSettings:
    return EngineSettings(backend=backend, folder=folder, threads=1)


def edit_record(folder: Path, **changes) -> None:
    path = folder / "demo" / PARITY
    write_sealed(path, json.dumps({**json.loads(path.read_text()), **changes}).encode())


def test_a_verified_engine_runs_and_its_results_say_so(
    bundle: Bundle, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with load_engine(bundle, settings(folder)) as engine:
        Inspector(bundle, engine, DecisionSettings()).self_test()
        info, model = engine.info, model_info("demo", bundle, engine)
        with load_engine(bundle, EngineSettings(threads=1)) as reference:
            frame = random_frame(bundle.graph)
            assert np.allclose(engine.run(frame)["map"], reference.run(frame)["map"], atol=1e-5)
            assert engine_key(bundle, info) != engine_key(bundle, reference.info)
    assert (info.backend, info.version, info.device) == ("tensorrt", "10.3.0", "Orin (8.7)")
    assert (model.parity, model.engine_key) == (
        "passed",
        find_verified(folder, bundle.id)[0].record.key[:12],
    )
    assert "engine chosen role=detect backend=tensorrt precision=fp32" in caplog.text
    assert "fastest that passed parity on this device" in caplog.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "Orin (8.9)"}, r"parity was checked with device Orin \(8\.9\), here is Orin"),
        ({"version": "10.7.0"}, r"checked with tensorrt 10\.7\.0, here is 10\.3\.0"),
        ({"bundle_id": "0" * 64}, "expected an engine of bundle .* found none for tensorrt"),
        ({"backend": "onnxruntime"}, "found none for tensorrt"),
        ({"schema": "other"}, "found none for tensorrt"),
    ],
)
def test_a_record_of_something_else_does_not_count(
    bundle: Bundle, folder: Path, changes: dict, words: str
) -> None:
    edit_record(folder, **changes)
    with pytest.raises(EngineLoadError, match=words) as caught:
        load_engine(bundle, settings(folder))
    assert "\n" not in str(caught.value)


def test_an_engine_that_did_not_pass_does_not_run(bundle: Bundle, folder: Path) -> None:
    record = find_verified(folder, bundle.id)[0].record
    edit_record(folder, parity={**record.parity.model_dump(), "passed": False})
    with pytest.raises(EngineLoadError, match="did not pass the parity check"):
        load_engine(bundle, settings(folder))


def test_an_engine_without_a_record_does_not_run(bundle: Bundle, folder: Path) -> None:
    (folder / "demo" / PARITY).unlink()
    with pytest.raises(EngineLoadError, match="that has passed the parity check, found none"):
        load_engine(bundle, settings(folder))


def test_an_engine_exchanged_for_another_does_not_run(
    bundle: Bundle, folder: Path, machine: Machine, tmp_path: Path
) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(bundle.path(bundle.graph.file).read_bytes() + b"\0")
    write_engine(folder / "demo" / "detect.engine", other, bundle.graph, machine)
    with pytest.raises(EngineLoadError, match="not the engine whose parity was checked"):
        load_engine(bundle, settings(folder))


def test_a_build_under_way_is_not_seen(bundle: Bundle, folder: Path) -> None:
    (folder / "demo").rename(folder / ".build-demo")
    assert find_verified(folder, bundle.id) == []


def test_auto_takes_the_fastest(
    bundle: Bundle, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    here = {"version": onnxruntime.__version__, "device": cpu_name(), "backend": "onnxruntime"}
    write_record(folder / "cpu", bundle, {"detect": bundle.graph.file}, **here, median_ms=4.0)
    with load_engine(bundle, settings(folder, "auto")) as engine:
        assert engine.info.backend == "onnxruntime"
        assert engine.info.is_verified
    write_record(folder / "cpu", bundle, {"detect": bundle.graph.file}, **here, median_ms=6.0)
    with load_engine(bundle, settings(folder, "auto")) as engine:
        assert engine.info.backend == "tensorrt"
    assert "median_ms=4.00" in caplog.text
    assert "median_ms=5.00" in caplog.text


def test_auto_passes_over_what_does_not_load_and_says_why(
    bundle: Bundle, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (folder / "demo" / "detect.engine").write_bytes(b"plan")
    with load_engine(bundle, settings(folder, "auto")) as engine:
        assert engine.info.backend == "onnxruntime"
        assert not engine.info.is_verified
    assert "engine refused reason=" in caplog.text
    assert "cut off" in caplog.text
    assert "backend=onnxruntime precision=fp32 because=no other has passed" in caplog.text


def test_on_a_machine_without_engines_auto_is_onnxruntime(bundle: Bundle, tmp_path: Path) -> None:
    with load_engine(bundle, settings(tmp_path / "none", "auto")) as engine:
        assert engine.info.backend == "onnxruntime"


def test_a_backend_that_nothing_loads_is_named(bundle: Bundle, folder: Path) -> None:
    edit_record(folder, backend="abacus")
    with load_engine(bundle, settings(folder, "auto")) as engine:
        assert engine.info.backend == "onnxruntime"


def test_parity_with_another_release_of_onnxruntime_does_not_count(
    bundle: Bundle, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = {"version": "1.0", "device": cpu_name(), "backend": "onnxruntime"}
    write_record(folder / "cpu", bundle, {"detect": bundle.graph.file}, **here, median_ms=1.0)
    with load_engine(bundle, settings(folder, "auto")) as engine:
        assert engine.info.backend == "tensorrt"
    assert "checked with onnxruntime 1.0" in caplog.text


def test_both_graphs_of_a_bundle_run_compiled(tmp_path: Path, machine: Machine) -> None:
    two = open_bundle(with_two_graphs(make_bundle(tmp_path, "two")))
    place = tmp_path / "engines" / "two"
    engines = {
        graph.role: write_engine(
            place / f"{graph.role}.engine", two.path(graph.file), graph, machine
        )
        for graph in (two.graph, two.types_graph)
    }
    write_record(place, two, engines)
    chosen = settings(tmp_path / "engines")
    with load_engine(two, chosen) as engine, load_types_engine(two, chosen) as types:
        assert types is not None
        assert types.info.backend == engine.info.backend == "tensorrt"
        assert set(types.run(random_frame(two.types_graph))) == {"type_logits"}
    machine.cudart.assert_clean()


def test_the_self_test_allows_what_parity_allowed(bundle: Bundle, folder: Path) -> None:
    golden = bundle.golden()
    with load_engine(bundle, settings(folder)) as engine:
        run, shift = engine.run, 3 * golden.score_tolerance

        def shifted(inputs):
            outputs = run(inputs)
            return {**outputs, "score": outputs["score"] + shift}

        engine.run = shifted
        edit_record(folder, score_tolerance=2 * shift)
        with load_engine(bundle, settings(folder)) as wide:
            wide.run = shifted
            Inspector(bundle, wide, DecisionSettings()).self_test()
        edit_record(folder, score_tolerance=shift / 2)
        with load_engine(bundle, settings(folder)) as narrow:
            narrow.run = shifted
            with pytest.raises(EngineLoadError, match="golden picture"):
                Inspector(bundle, narrow, DecisionSettings()).self_test()
