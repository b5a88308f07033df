"""Types on runs that cut frames into tiles: regions of tiles, and the commands from end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.bundle.store import open_bundle
from edge.data.frames import InputShape
from edge.data.image_set import read_image_set, read_mask
from edge.methods.inp_former.fit import fit
from edge.methods.inp_former.request import Request
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.presets import find_preset
from edge.methods.run import read_model, read_record
from edge.methods.types.regions import labelled_regions

TILED = InputShape((160, 128), (2, 1), 0.1)
WHOLE = InputShape((160, 128))


def test_a_region_is_learned_from_the_tiles_that_show_it(run: Path, plates: Path) -> None:
    detector = read_model(run, read_record(run))
    defects = [sample for sample in read_image_set(plates).test if sample.mask]

    def middle(sample) -> float:
        """Where the defect is across the frame, 0..1."""
        return float(np.argwhere(read_mask(sample, (160, 128)))[:, 1].mean() / 160)

    left = min(defects, key=middle)
    samples = [("plates", left)]
    whole = labelled_regions(detector, samples, WHOLE, 0.5, lambda _: None)
    tiled = labelled_regions(detector, samples, TILED, 0.5, lambda _: None)
    assert middle(left) < 0.4
    assert len(tiled.labels) == len(whole.labels) == 4, "one tile, in four orientations"
    assert set(tiled.labels) == {left.label}
    assert tiled.tokens.shape == whole.tokens.shape
    assert not np.allclose(tiled.tokens, whole.tokens), "a tile shows it larger"


def test_without_a_mask_the_highest_place_counts_if_good_parts_have_none_like_it(
    run: Path, plates: Path
) -> None:
    from dataclasses import replace

    detector = read_model(run, read_record(run))
    images = read_image_set(plates)
    good = [("plates", sample) for sample in images.train[:6]]
    defects = [replace(sample, mask=None) for sample in images.test if sample.mask][::4]
    alike = [replace(images.train[7], label="nothing")]
    samples = [*good, *(("plates", sample) for sample in (*defects, *alike))]
    found = labelled_regions(detector, samples, WHOLE, 0.5, lambda _: None)
    shown = set(found.labels) - {"good"}
    assert len(shown) >= 3
    assert "nothing" not in shown


def command(name: str, *arguments: object) -> str:
    code = f"from edge.cli.{name} import main; main()"
    words = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_small_defects_on_large_frames_get_names(plates: Path, tmp_path: Path) -> None:
    run, named, bundle = tmp_path / "run", tmp_path / "named", tmp_path / "bundle"
    request = Request(
        data=plates,
        preset=find_preset("lite"),
        size_wh=(96, 128),
        tiles_wh=(2, 1),
        overlap=0.1,
        training=TrainingSettings(steps=60, tokens=0, warmup=20, probe_defects=35),
    )
    fit(request, run, lambda _stage, _total: lambda _done: None)
    said = command(
        "train", "--method", "types", "--run", run, "--data", plates, "--labelled", "2",
        "--out", named,
    )  # fmt: skip
    kinds = read_image_set(plates).defect_types
    for kind in kinds:
        assert f"{kind}: 2 pictures with masks, 0 without, 2 regions learned" in said
    assert "2 more than --labelled 2" in said
    record = read_record(named)
    assert record.types is not None
    assert record.types.probe is not None
    command("build", named, "--out", bundle)
    packed = open_bundle(bundle)
    assert packed.recipe.tiles_wh == (2, 1)
    assert set(packed.recipe.defect_types) == set(kinds)
    (parity,) = packed.manifest.parity
    assert parity.map_difference < 1e-4, "joined tiles agree as whole frames do"
    assert parity.type_difference is not None
    found = json.loads(command("eval", bundle, "--data", plates, "--json").splitlines()[-1])
    assert found["left_out"] == 2 * len(kinds)
    assert found["type_accuracy"] is not None
    assert found["segmentation"]["auroc"] > 0.6
    assert set(found["segmentation"]["per_type"]) == {"good", *kinds}
