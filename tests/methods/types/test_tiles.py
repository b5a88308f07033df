"""Types on runs that cut frames into tiles: regions of tiles, and the command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.data.frames import InputShape
from edge.data.image_set import read_image_set, read_mask
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
def test_a_run_with_tiles_learns_labels_by_the_command(plates: Path, tmp_path: Path) -> None:
    run, named = tmp_path / "run", tmp_path / "named"
    command(
        "train", "--data", plates, "--out", run, "--tiles", "2x1", "--size", "96x128",
        "--steps", "60",
    )  # fmt: skip
    said = command(
        "train", "--method", "types", "--run", run, "--data", plates, "--labelled", "2",
        "--out", named,
    )  # fmt: skip
    kinds = read_image_set(plates).defect_types
    for kind in kinds:
        assert f"{kind}: 2 pictures with masks, 0 without, 2 regions learned" in said
    assert "2 more than --labelled 2" in said
    record = read_record(named)
    assert record.tiles_wh == (2, 1)
    assert set(record.model.types) == set(kinds)
    assert record.types is not None
    assert record.types.probe is not None
