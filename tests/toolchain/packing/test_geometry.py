"""A geometry from training to evaluation: one run, packed and measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge.bundle.store import open_bundle
from edge.cameras.simulator.image_set import write_conveyor_set
from edge.config.station import DecisionSettings, EngineSettings
from edge.data.image_set import read_image_set
from edge.engines.load import load_engine
from edge.errors import TrainingError
from edge.evaluation.evaluate import evaluate
from edge.geometry.geometry import Geometry
from edge.inspection.inspector import Inspector
from edge.methods.inp_former.fit import fit
from edge.methods.inp_former.request import Request
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.presets import find_preset
from edge.methods.run import MODEL, read_record
from edge.toolchain.packing.pack import PackOptions, pack_bundle

GEOMETRY = Geometry(
    rotate=90,
    region={"polygon_xy": [[10, 10], [110, 10], [110, 150], [60, 155], [10, 150]]},
    ignore=[{"rectangle_xywh": [30, 40, 20, 20]}],
)


def quiet(_stage: str, _total: int):
    return lambda _done: None


@pytest.mark.slow
def test_a_geometry_goes_from_training_to_the_verdicts(tmp_path: Path) -> None:
    data, run = tmp_path / "plates", tmp_path / "run"
    write_conveyor_set(data, train_good=12, test_good=4, per_type=2, size_wh=(160, 128), seed=1)
    request = Request(
        data=data,
        preset=find_preset("lite"),
        size_wh=(96, 128),
        training=TrainingSettings(steps=10, tokens=0, warmup=2, probe_defects=10),
        geometry=GEOMETRY,
    )
    fit(request, run, quiet)
    record = read_record(run)
    fill = record.geometry.fill_bgr
    assert record.geometry == GEOMETRY.model_copy(update={"size_wh": (128, 160), "fill_bgr": fill})
    assert record.data.frame_wh == (101, 146)
    bundle = pack_bundle(run, tmp_path / "bundle", PackOptions(), lambda _: None)
    assert open_bundle(tmp_path / "bundle").recipe.geometry == record.geometry
    for image in bundle.golden().images:
        pixels = bundle.golden_pixels(image)
        assert pixels.shape == (146, 101, 3)
        assert (pixels[30:50, 20:40] == fill).all(), image.label
    with load_engine(bundle, EngineSettings(threads=1)) as engine:
        Inspector(bundle, engine, DecisionSettings()).self_test()
        found = evaluate(bundle, engine, read_image_set(data), lambda _: None)
    assert found.pixel_auroc > 0.9
    assert {part.inspection.size_wh for part in found.parts} == {(160, 128)}
    # Whoever goes on with another geometry would get a model of both.
    (run / MODEL).unlink()
    with pytest.raises(TrainingError, match=r"geometry\.rotate"):
        fit(replace(request, geometry=GEOMETRY.model_copy(update={"rotate": 270})), run, quiet)
