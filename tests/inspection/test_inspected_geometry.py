"""Inspection through a geometry, with the demo's bundle and its real graph."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from edge.bundle.store import Bundle, open_bundle
from edge.cameras.source import frame_now
from edge.config.station import DecisionSettings, EngineSettings
from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.data.viewed import fitted, viewed
from edge.engines.load import load_engine
from edge.evaluation.seen_pixels import SeenPixels
from edge.geometry.geometry import Geometry
from edge.geometry.view_transform import ViewTransform
from edge.inspection.inspector import Inspected, Inspector
from edge.inspection.scorer import FrameScorer
from edge.picture_file import encode_picture, read_picture
from edge.result import Reason, Verdict
from tests.support.bundles import CLEAREST, DEMO_BUNDLE, ROOT, sign

GOOD = next((ROOT / "demo" / "images" / "good").glob("*.png"))
# The demo's pictures lie in a larger frame, off its corner.
FRAME_WH, AT = (400, 320), (90, 40)


def framed(picture: np.ndarray) -> np.ndarray:
    frame = np.random.default_rng(5).integers(0, 256, (FRAME_WH[1], FRAME_WH[0], 3), np.uint8)
    frame[AT[1] : AT[1] + 256, AT[0] : AT[0] + 256] = picture
    return frame


def region(size: int = 256) -> dict:
    return {"rectangle_xywh": [*AT, size, size]}


def bundle_with(folder: Path, geometry: dict) -> Bundle:
    """Pack the demo's bundle with a geometry; its pictures are of 256x256 pixels."""
    shutil.copytree(DEMO_BUNDLE, folder)
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    (folder / "recipe.yaml").write_text(yaml.safe_dump({**recipe, "geometry": geometry}))
    return open_bundle(sign(folder))


def inspected(bundle: Bundle, *frames: np.ndarray) -> list[Inspected]:
    with load_engine(bundle, EngineSettings(threads=1)) as engine:
        inspector = Inspector(bundle, engine, DecisionSettings())
        inspector.self_test()
        results = []
        for number, frame in enumerate(frames):
            found = inspector.inspect(frame_now("top", number, frame))
            results.append(found._replace(map=None if found.map is None else found.map.copy()))
        return results


def test_the_recipe_keeps_its_geometry_and_crops_to_it(tmp_path: Path) -> None:
    defect = read_picture(CLEAREST)
    (whole,) = inspected(open_bundle(DEMO_BUNDLE), defect)
    bundle = bundle_with(tmp_path / "b", {"region": region(), "size_wh": list(FRAME_WH)})
    assert bundle.recipe.geometry == Geometry(region=region(), size_wh=FRAME_WH)
    (cropped,) = inspected(bundle, framed(defect))
    assert cropped.inspection.score == whole.inspection.score
    assert cropped.inspection.verdict is whole.inspection.verdict is Verdict.FAIL
    assert cropped.inspection.size_wh == FRAME_WH
    # Regions are told in pixels of the frame.
    for ours, theirs in zip(cropped.inspection.regions, whole.inspection.regions, strict=True):
        moved = np.add(theirs.bbox_xywh, (*AT, 0, 0))
        assert np.abs(np.subtract(ours.bbox_xywh, moved)).max() <= 1
        assert ours.area_px == pytest.approx(theirs.area_px)
        assert ours.peak == theirs.peak
    # So is the map, which is 0 where nothing is inspected.
    shown = cropped.map
    sx, sy = shown.shape[1] / FRAME_WH[0], shown.shape[0] / FRAME_WH[1]
    y, x = np.unravel_index(shown.argmax(), shown.shape)
    box = cropped.inspection.regions[0].bbox_xywh
    assert box[0] - 2 <= (x + 0.5) / sx <= box[0] + box[2] + 2
    assert box[1] - 2 <= (y + 0.5) / sy <= box[1] + box[3] + 2
    assert shown[:, : int((AT[0] - 2) * sx)].max() == 0
    assert shown[int((AT[1] + 258) * sy) :].max() == 0


def test_a_defect_in_an_ignore_mask_changes_neither_score_nor_verdict(tmp_path: Path) -> None:
    good = read_picture(GOOD)
    # The demo's model was trained without masks: the place is black in the picture, too.
    ignore = {"rectangle_xywh": [AT[0], AT[1] + 72, 40, 32]}
    bundle = bundle_with(
        tmp_path / "b",
        {"region": region(), "ignore": [ignore], "size_wh": list(FRAME_WH), "fill_bgr": [0, 0, 0]},
    )
    inside, outside = framed(good), framed(good)
    inside[AT[1] + 72 : AT[1] + 104, AT[0] : AT[0] + 40] = (0, 0, 255)
    outside[AT[1] + 150 : AT[1] + 196, AT[0] + 150 : AT[0] + 206] = (0, 0, 255)
    plain, hidden, shown = inspected(bundle, framed(good), inside, outside)
    assert hidden.inspection.score == plain.inspection.score
    assert hidden.inspection.verdict is plain.inspection.verdict
    assert hidden.inspection.regions == plain.inspection.regions
    assert np.array_equal(hidden.map, plain.map)
    assert plain.inspection.verdict is Verdict.PASS
    assert shown.inspection.verdict is Verdict.FAIL
    # No place of the mask is in the map.
    sx, sy = hidden.map.shape[1] / FRAME_WH[0], hidden.map.shape[0] / FRAME_WH[1]
    rows = slice(int((AT[1] + 76) * sy), int((AT[1] + 100) * sy))
    columns = slice(int((AT[0] + 4) * sx), int((AT[0] + 36) * sx))
    assert shown.map[rows, columns].max() == 0


def test_training_evaluation_and_line_give_the_same_network_inputs(tmp_path: Path) -> None:
    path = tmp_path / "frame.png"
    path.write_bytes(encode_picture(framed(read_picture(GOOD))))
    geometry = fitted(
        Geometry(
            rotate=90,
            region={"polygon_xy": [[30, 90], [280, 90], [150, 340]]},
            ignore=[{"rectangle_xywh": [100, 150, 30, 30]}],
        ),
        [Sample(path, "good", "1")],
    )
    assert geometry.size_wh == (320, 400)
    assert geometry.fill_bgr is not None
    bundle = bundle_with(tmp_path / "b", geometry.model_dump(mode="json"))
    (sample,) = viewed([Sample(path, "good", "1")], ViewTransform(geometry))
    trained = network_inputs(read_view(sample).pixels_bgr, InputShape(bundle.recipe.size_wh))[0]
    with load_engine(bundle, EngineSettings(threads=1)) as engine:
        inputs: list[np.ndarray] = []

        class Recorder:
            info = engine.info

            def run(self, given):
                inputs.append(given["frame"].copy())
                return engine.run(given)

        inspector = Inspector(bundle, Recorder(), DecisionSettings())  # type: ignore[arg-type]
        line = inspector.inspect(frame_now("top", 0, read_picture(path)))
        view = read_view(sample)
        scored = FrameScorer(engine, bundle.recipe, bundle.graph).score(view.pixels_bgr)
        assert scored.score == line.inspection.score
    assert np.array_equal(inputs[0][0], trained)


def test_a_frame_of_another_size_may_not_pass(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path / "b", {"region": region(), "size_wh": list(FRAME_WH)})
    (found,) = inspected(bundle, read_picture(GOOD))
    assert found.inspection.verdict is Verdict.UNDECIDED
    assert found.inspection.reason is Reason.IMAGE_QUALITY
    assert "geometry: expected a frame of 400x320, got 256x256" in found.inspection.detail


def test_only_seen_pixels_count(tmp_path: Path) -> None:
    path = tmp_path / "frame.png"
    path.write_bytes(encode_picture(framed(read_picture(GOOD))))
    geometry = Geometry(region=region(), ignore=[{"rectangle_xywh": [100, 50, 40, 20]}])
    seen = SeenPixels(geometry)(Sample(path, "good", "1"), FRAME_WH, FRAME_WH)
    expected = np.zeros(FRAME_WH[::-1], bool)
    expected[AT[1] : AT[1] + 256, AT[0] : AT[0] + 256] = True
    expected[50:70, 100:140] = False
    assert np.array_equal(seen, expected)
