"""Checkpoints of the published INP-Former code become runs that compute the same numbers.

The witness is tests.support.published_inp_former, which shares no code with edge.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file

from edge.errors import DataError, TrainingError
from edge.methods.inp_former.checkpoint import (
    SIZES,
    check_checkpoint,
    checkpoint_settings,
    expected_shapes,
    load_checkpoint,
    read_checkpoint,
)
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.importing import zero_shot
from edge.methods.inp_former.published_map import PublishedMap
from edge.networks.backbones.dinov2 import VitShape
from edge.toolchain.packing.export import export_detector
from tests.support.published_inp_former import (
    Published,
    published_forward,
    published_map,
    random_checkpoint,
)

# The limit that the published code is held to: 1e-4 of the scale of what is compared.
LIMIT = 1e-4
TAPS = {12: [2, 3, 4, 5, 6, 7, 8, 9], 24: [4, 6, 8, 10, 12, 14, 16, 18]}
TINY = VitShape(width=48, depth=12, heads=3)
DEEP = VitShape(width=48, depth=24, heads=3)


def off(ours: torch.Tensor | np.ndarray, theirs: torch.Tensor) -> float:
    ours = torch.as_tensor(ours)
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


def frames(side: int, count: int = 2) -> torch.Tensor:
    """Noise over a ramp, so that neither positions nor contents are all alike."""
    noise = torch.randint(0, 120, (count, side, side, 3), dtype=torch.uint8)
    return noise + torch.linspace(0, 135, side).to(torch.uint8).view(1, 1, -1, 1)


def make(shape: VitShape, side: int, seed: int = 0, prototypes: int = 6, zero: bool = False):
    state = random_checkpoint(shape.width, shape.depth, shape.heads, prototypes, seed)
    check_checkpoint(state, shape, "random")
    settings = checkpoint_settings(shape, prototypes, (side, side))
    detector = Detector(zero_shot(settings) if zero else settings)
    load_checkpoint(detector, state)
    return detector, state


def tokens(picture: torch.Tensor) -> torch.Tensor:
    return picture.flatten(2).transpose(1, 2)


def assert_same_network(detector: Detector, pixels: torch.Tensor, truth: Published) -> None:
    with torch.no_grad():
        image = (pixels.permute(0, 3, 1, 2).float() - detector.mean) / detector.std
        taps = detector.features.backbone(image)
        groups = detector.extract(pixels)
        read, prototypes = detector.inp_former.read(groups)
        rebuilt = detector.inp_former.rebuild(read, prototypes)
        judged = detector(pixels)
    assert max(off(a, b) for a, b in zip(taps, truth.taps, strict=True)) < LIMIT
    assert off(prototypes, truth.prototypes) < LIMIT
    for ours, theirs in ((groups, truth.encoder), (rebuilt, truth.decoder)):
        assert max(off(a, tokens(b)) for a, b in zip(ours, theirs, strict=True)) < LIMIT
    assert off(judged.map, truth.map) < LIMIT
    assert off(judged.score, truth.score) < LIMIT


@pytest.mark.parametrize(
    ("shape", "side", "prototypes"), [(TINY, 84, 6), (DEEP, 112, 6), (TINY, 518, 4)]
)
def test_every_stage_equals_the_published_network(
    shape: VitShape, side: int, prototypes: int
) -> None:
    torch.manual_seed(side)
    detector, state = make(shape, side, seed=side, prototypes=prototypes)
    pixels = frames(side)
    truth = published_forward(state, pixels, shape.heads, TAPS[shape.depth])
    assert_same_network(detector, pixels, truth)


def test_the_small_model_at_its_published_size() -> None:
    torch.manual_seed(1)
    detector, state = make(SIZES["small"], 392)
    assert len(state) == len(expected_shapes(SIZES["small"], 6)) == 315
    pixels = frames(392, 1)
    assert_same_network(detector, pixels, published_forward(state, pixels, 6, TAPS[12]))


@pytest.mark.parametrize(
    "zero", [pytest.param(False, marks=pytest.mark.slow), True], ids=["reconstruction", "zero-shot"]
)
def test_the_exported_graph_equals_the_published_network(zero: bool, tmp_path: Path) -> None:
    torch.manual_seed(2)
    detector, state = make(TINY, 112, zero=zero)
    export_detector(detector, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    for pixels in frames(112, 3).split(1):
        truth = published_forward(state, pixels, TINY.heads, TAPS[12])
        level, score = truth.map, truth.score
        if zero:
            level, score = published_map(truth.distance.reshape(1, 1, 8, 8), 112)
        ours, our_score = session.run(None, {"frame": pixels.numpy()})
        assert off(ours, level) < LIMIT
        assert off(our_score, score) < LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("size", ["small", "base", "large"])
def test_the_exported_graph_at_full_width(size: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    side = 392 if size == "small" else 196
    detector, state = make(SIZES[size], side)
    pixels = frames(side, 1)
    shape = SIZES[size]
    truth = published_forward(state, pixels, shape.heads, TAPS[shape.depth])
    assert_same_network(detector, pixels, truth)
    export_detector(detector, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    ours, score = session.run(None, {"frame": pixels.numpy()})
    assert off(ours, truth.map) < LIMIT
    assert off(score, truth.score) < LIMIT


def test_the_published_map_is_the_published_chain() -> None:
    grid = torch.rand(3, 2, 28, 28)
    level = PublishedMap((28, 28), (392, 392))(grid.mean(1, keepdim=True))
    truth, _ = published_map(grid, 392)
    assert off(level, truth) < 1e-6
    ones = PublishedMap((28, 28), (392, 392))(torch.ones(1, 1, 28, 28))[0]
    assert float(ones[100, 100]) == pytest.approx(1.0, abs=1e-5)
    assert float(ones[0, 100]) < 0.7, "zero padding weakens the border"
    assert PublishedMap((14, 28), (196, 392)).size_hw == (128, 256)


def test_what_is_not_such_a_checkpoint_is_refused_in_one_line(tmp_path: Path) -> None:
    good = random_checkpoint(TINY.width, TINY.depth, TINY.heads)

    def refusal(**changes: torch.Tensor | None) -> str:
        state = {**good, **{k: v for k, v in changes.items() if v is not None}}
        for name in (k for k, v in changes.items() if v is None):
            del state[name]
        with pytest.raises(TrainingError) as caught:
            check_checkpoint(state, TINY, "model.pth")
        text = str(caught.value)
        assert "\n" not in text
        assert text.startswith("model.pth: ")
        return text

    assert "1 missing, e.g. decoder.7.attn.q.weight" in refusal(**{"decoder.7.attn.q.weight": None})
    assert "1 unknown, e.g. head.weight" in refusal(**{"head.weight": torch.zeros(1)})
    odd = refusal(**{"bottleneck.0.fc1.bias": torch.zeros(7)})
    assert "1 misshapen, e.g. bottleneck.0.fc1.bias (7,) instead of (192,)" in odd
    nan = refusal(**{"encoder.norm.bias": torch.full((48,), torch.nan)})
    assert "not finite numbers, e.g. encoder.norm.bias" in nan
    assert "no INP-Former checkpoint" in refusal(prototype_token=None)
    assert (
        "expected width 48 and 12 encoder blocks, found 768 and 12; it is base: give --size base"
        in (refusal(prototype_token=torch.zeros(6, 768)))
    )


class Payload:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_files_are_read_without_running_code(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2), "trap": Payload(tmp_path / "ran")}, tmp_path / "bad.pth")
    with pytest.raises(TrainingError, match=r"bad.pth: no INP-Former checkpoint: .* plain state"):
        read_checkpoint(tmp_path / "bad.pth", TINY)
    assert not (tmp_path / "ran").exists()
    torch.save({"model": {"weight": torch.ones(2)}, "epoch": 3}, tmp_path / "nested.pth")
    with pytest.raises(TrainingError, match="holds something else than named tensors"):
        read_checkpoint(tmp_path / "nested.pth", TINY)
    # "junk" reads as a pickle that looks up what it never stored.
    for name, text in (("text.pth", "not weights"), ("text.safetensors", ""), ("x.pth", "junk\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(TrainingError, match=f"{name}: no INP-Former checkpoint: "):
            read_checkpoint(tmp_path / name, TINY)
    with pytest.raises(TrainingError, match=r"none.pth: no INP-Former checkpoint: .*No such file"):
        read_checkpoint(tmp_path / "none.pth", TINY)


def no_bar(_stage: str, _total: int):
    return lambda _done: None


def edge_import(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = "from edge.cli.import_ import main; main()"
    command = [sys.executable, "-c", code, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "model.pth"
    torch.save(random_checkpoint(384, 12, 6), path)
    return path


def test_a_checkpoint_becomes_a_bundle_that_judges_like_the_published_code(
    checkpoint: Path, plates: Path, tmp_path: Path
) -> None:
    from edge.bundle.store import open_bundle
    from edge.config.station import EngineSettings
    from edge.data.frames import InputShape, network_inputs
    from edge.data.image_set import read_image_set, read_pixels
    from edge.engines.load import load_engine
    from edge.inspection.scorer import FrameScorer
    from edge.methods.run import read_calibration, read_record
    from edge.toolchain.packing.pack import PackOptions, pack_bundle

    run = tmp_path / "run"
    done = edge_import(
        "inp-former", checkpoint, "--size", "small", "--input", "56x56", "--data", plates,
        "--out", run,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "40 good pictures for the threshold; next: edge-build" in done.stdout
    record, calibration = read_record(run), read_calibration(run)
    assert record.origin is not None
    assert record.origin.name == "model.pth"
    assert (record.data.train_images, record.data.held_out_images) == (0, 40)
    # The weights are random: only a low threshold rejects anything.
    pack_bundle(run, tmp_path / "bundle", PackOptions(alpha=0.5), lambda _: None)
    bundle = open_bundle(tmp_path / "bundle")
    state = torch.load(checkpoint, weights_only=True)
    assert "imported" in (tmp_path / "bundle" / "card.md").read_text()
    with load_engine(bundle, EngineSettings(threads=1)) as engine:
        scorer = FrameScorer(engine, bundle.recipe, bundle.graph)
        for sample in read_image_set(plates).test[::15]:
            pixels = read_pixels(sample.path)
            scored = scorer.score(pixels)
            inputs = torch.from_numpy(network_inputs(pixels, InputShape((56, 56))))
            truth = published_forward(state, inputs, 6, TAPS[12])
            assert off(scored.map[None], truth.map) < LIMIT
            assert scored.score == pytest.approx(float(truth.score), rel=LIMIT)
        first = read_image_set(plates).train[0]
        assert calibration.files[0] == first.path.name
        assert scorer.score(read_pixels(first.path)).score == pytest.approx(calibration.scores[0])


@pytest.mark.slow
def test_a_checkpoint_without_pictures_holds_the_model_and_says_what_is_missing(
    checkpoint: Path, tmp_path: Path
) -> None:
    from edge.methods.run import read_model, read_record
    from edge.toolchain.packing.pack import PackOptions, pack_bundle

    save_file(torch.load(checkpoint, weights_only=True), tmp_path / "model.safetensors")
    run = tmp_path / "run"
    arguments = ("inp-former", tmp_path / "model.safetensors", "--size", "small", "--out", run)
    done = edge_import(*arguments)
    assert done.returncode == 0, done.stderr
    assert "without threshold" in done.stdout
    record = read_record(run)
    assert record.model.size_wh == (392, 392)
    assert read_model(run, record).settings.map.chain == "published"
    with pytest.raises(TrainingError, match=r"imported without pictures.*--data GOOD_PICTURES"):
        pack_bundle(run, tmp_path / "bundle", PackOptions(), lambda _: None)
    before = (run / "model.safetensors").stat().st_mtime_ns
    again = edge_import(*arguments)
    assert again.returncode == 10
    assert again.stderr == f"error: --out {run}: holds a run; choose another folder, or --fresh\n"
    wrong = edge_import(*arguments[:3], "base", *arguments[4:], "--fresh")
    assert wrong.returncode == 10
    assert "it is small: give --size small" in wrong.stderr
    assert wrong.stderr.count("\n") == 1
    assert (run / "model.safetensors").stat().st_mtime_ns == before, (
        "a failed import spoils nothing"
    )


def test_a_trained_run_judges_another_product_by_its_prototypes(
    run: Path, plates: Path, tmp_path: Path
) -> None:
    from edge.methods.inp_former.importing import reuse_run
    from edge.methods.run import read_model, read_record

    record = reuse_run(run, plates, tmp_path / "zero", no_bar, is_zero_shot=True)
    assert record.origin is not None
    assert record.origin.kind == "run"
    old, new = (read_model(r, read_record(r)) for r in (run, tmp_path / "zero"))
    pixels = torch.randint(0, 255, (1, 128, 160, 3), dtype=torch.uint8)
    with torch.no_grad():
        groups = old.extract(pixels)
        (distance,) = new.branch_maps(groups).flatten(2)
        assert new.image_distance(groups) is None
        reconstruction = old.inp_former(groups)
    assert torch.allclose(distance, reconstruction.distance, atol=1e-6)
    (branch,) = new.branches
    assert float(branch.scale) != 1.0, "the map's scale is this product's"
    reuse_run(run, plates, tmp_path / "taken", no_bar)
    taken = read_model(tmp_path / "taken", read_record(tmp_path / "taken"))
    with torch.no_grad():
        own = old.branch_maps(groups)[:, : old.branches.reconstruction_maps]
        assert torch.equal(taken.branch_maps(groups), own), "no memory bank of the other product"


@pytest.mark.slow
def test_a_run_judging_by_prototypes_becomes_a_bundle(
    run: Path, plates: Path, tmp_path: Path
) -> None:
    from edge.methods.inp_former.importing import reuse_run
    from edge.toolchain.packing.pack import PackOptions, pack_bundle

    reuse_run(run, plates, tmp_path / "zero", no_bar, is_zero_shot=True)
    options = PackOptions(alpha=0.5)
    bundle = pack_bundle(tmp_path / "zero", tmp_path / "bundle", options, lambda _: None)
    assert bundle.manifest.parity[0].passed
    assert "imported from" in (bundle.folder / "card.md").read_text()


def shown_through(folder: Path, plates: Path, **geometry: object) -> Path:
    """A tiny run whose pictures were seen through a geometry."""
    from edge.geometry.geometry import Geometry
    from edge.methods.run import read_record, write_record
    from tests.support.tiny_runs import dinov2, write_run

    write_run(folder, dinov2(), plates)
    seen = Geometry.model_validate({"fill_bgr": (1, 2, 3), **geometry})
    write_record(folder, read_record(folder).model_copy(update={"geometry": seen}))
    return folder


def few(plates: Path, folder: Path) -> Path:
    """Six good pictures: enough to set a threshold, quick to read."""
    good = folder / "train" / "good"
    good.mkdir(parents=True)
    for path in sorted((plates / "train" / "good").iterdir())[:6]:
        shutil.copy(path, good)
    return folder


def test_a_run_of_another_product_keeps_its_geometry(plates: Path, tmp_path: Path) -> None:
    from edge.data.frame_record import read_frames
    from edge.methods.inp_former.importing import reuse_run
    from edge.methods.run import read_record

    drawn = {
        "region": {"rectangle_xywh": [10, 20, 120, 96]},
        "ignore": [{"rectangle_xywh": [20, 30, 16, 16]}],
        "size_wh": (160, 128),
        "rotate": 180,
    }
    old = shown_through(tmp_path / "old", plates, **drawn)
    reuse_run(old, few(plates, tmp_path / "few"), tmp_path / "new", no_bar)
    record = read_record(tmp_path / "new")
    kept = record.geometry
    assert kept is not None
    assert (kept.rotate, kept.region.rectangle_xywh) == (180, (10, 20, 120, 96))
    assert len(kept.ignore) == 1
    assert kept.fill_bgr not in (None, (1, 2, 3)), "hidden pixels have this product's colour"
    assert record.data.frame_wh == (120, 96)
    assert {frame.size_wh for frame in read_frames(tmp_path / "new").frames} == {(120, 96)}


def test_a_geometry_that_does_not_fit_the_other_product_is_one_line(
    plates: Path, tmp_path: Path
) -> None:
    from edge.methods.inp_former.importing import reuse_run
    from edge.methods.run import read_record

    old = shown_through(
        tmp_path / "old", plates, size_wh=(64, 64), region={"rectangle_xywh": [0, 0, 32, 32]}
    )
    data = few(plates, tmp_path / "few")
    with pytest.raises(DataError, match="expected a frame of 64x64, got 160x128") as told:
        reuse_run(old, data, tmp_path / "new", no_bar)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "new").exists()
    other = tmp_path / "whole.yaml"
    other.write_text("rotate: 0\n")
    done = edge_import("run", old, "--data", data, "--out", tmp_path / "new", "--geometry", other)
    assert done.returncode == 0, done.stderr
    assert read_record(tmp_path / "new").geometry.region is None
