"""INT8 graphs of a bundle, whole and broken, held against the run that they came from."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge.bundle.manifest import GraphFile, ParityRecord
from edge.bundle.store import Bundle
from edge.data.golden_pictures import GoldenPicture
from edge.data.image_set import read_image_set, read_pixels
from edge.errors import ParityError
from edge.methods.run import read_model, read_record
from edge.toolchain.packing.golden_set import check_graphs, reference_outcomes
from edge.toolchain.packing.types_graph import read_types_run
from edge.toolchain.quantization.calibration_set import CalibrationSet, freeze_calibration_set


def calibration_set(data: Path, folder: Path, pictures: int = 8) -> CalibrationSet:
    """The first good training pictures, frozen into `folder`."""
    good = read_image_set(data).train[:pictures]
    frames = ((read_pixels(sample.path), sample.path.name) for sample in good)
    return freeze_calibration_set(folder, frames, data.name)


def int8_graphs(bundle: Bundle, form: str) -> list[GraphFile]:
    """The one that judges, then the one that names types, if there is one."""
    graphs = [g for g in bundle.manifest.graphs if (g.precision, g.form) == ("int8", form)]
    return sorted(graphs, key=lambda graph: graph.role)


def check(bundle: Bundle, run: Path, types_run: Path | None = None) -> None:
    """Both forms judge and name as the trained model, and broken ones are refused."""
    record = read_record(run)
    types = None if types_run is None else read_types_run(types_run, record)
    # Packing adds a picture that fails where the run has none.
    pictures = [GoldenPicture(bundle.path(i.file), i.label) for i in bundle.golden().images]
    reference = reference_outcomes(read_model(run, record), bundle.recipe, pictures, types)
    threshold = bundle.thresholds.score.value

    def prove(graphs: list[GraphFile], broken: str = "") -> ParityRecord:
        """Judge by copies of graphs; the one of the role `broken` has random scales."""
        with tempfile.TemporaryDirectory() as scratch:
            for graph in graphs:
                model = onnx.load(str(bundle.path(graph.file)))
                if graph.role == broken:
                    scramble(model)
                path = Path(scratch) / graph.file
                path.parent.mkdir(exist_ok=True)
                onnx.save(model, str(path))
            return check_graphs(
                Path(scratch), graphs, bundle.recipe, pictures, reference, threshold
            )

    roles = ["detect"] if types is None else ["detect", "types"]
    assert len(bundle.manifest.parity) == 3
    for form, packed in zip(("cpu", "trt"), bundle.manifest.parity[1:], strict=True):
        graphs = int8_graphs(bundle, form)
        assert [graph.role for graph in graphs] == roles
        found = prove(graphs)
        assert found.score_difference > 0, "it is another graph"
        assert found.score_difference == pytest.approx(packed.score_difference, abs=1e-4)
        assert found.type_difference == pytest.approx(packed.type_difference, abs=1e-3)
        for role in roles:
            with pytest.raises(ParityError, match="does not decide as the trained model"):
                prove(graphs, broken=role)


def scramble(model: onnx.ModelProto) -> None:
    """Multiply the scale of every activation by a factor of its own."""
    rng = np.random.default_rng(0)
    scales = {node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    for tensor in model.graph.initializer:
        if tensor.name in scales:
            values = numpy_helper.to_array(tensor)
            factor = np.exp(rng.uniform(-1.5, 1.5, values.shape)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values * factor, tensor.name))
