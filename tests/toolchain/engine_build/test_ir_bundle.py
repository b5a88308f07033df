"""A bundle with an OpenVINO IR needs no engine to be built, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import EngineBuildError
from edge.toolchain.engine_build.backends import find_backend
from edge.toolchain.engine_build.build import build_engines
from edge.toolchain.engine_build.target_profile import read_target
from tests.support.ir_bundle import make_ir_bundle

pytest.importorskip("openvino", reason="pip install 'edge-inspection[openvino]'")


@pytest.mark.parametrize("target", ["cpu", "cpu-openvino"])
def test_there_is_nothing_to_build(target: str, tmp_path: Path) -> None:
    profile = read_target(target)
    backend = find_backend(target, profile, tmp_path)
    with pytest.raises(EngineBuildError, match="expected ONNX graphs, found an OpenVINO IR"):
        build_engines(make_ir_bundle(tmp_path / "bundle"), profile, backend, tmp_path / "engines")
    assert not (tmp_path / "engines").exists()
