"""Maps of good parts that a run has learned from: what is known of them stays known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import read_pixels
from edge.data.products import read_products
from edge.methods.inp_former.calibration import calibrate
from edge.methods.inp_former.good_maps import GoodMaps
from edge.methods.inp_former.known_maps import KnownMaps, calibrate_known, halves, place_of
from edge.methods.run import read_model, read_record
from edge.training.feature_cache import extract

SHAPE = InputShape((160, 128))


def test_known_maps_stand_in_for_those_of_the_same_branches() -> None:
    known = KnownMaps(torch.zeros(2, 1, 3, 4, 5), torch.tensor([[1.0], [2.0]]))
    maps = known.of(1, torch.ones(1, 4, 4, 5))
    assert maps.shape == (1, 4, 4, 5)
    assert maps[:, :3].eq(0).all()
    assert maps[:, 3].eq(1).all(), "a new branch did not learn from the part"
    assert known.distance(1).tolist() == [2.0]
    assert KnownMaps(known.maps, None).distance(0) is None


def test_one_half_teaches_and_the_other_is_judged(run: Path, plates: Path) -> None:
    products = read_products([plates], read_record(run).training.seed)
    everyone = (*products.train, *products.held_out)
    shares = tuple(index % 4 for index in range(len(everyone)))
    dealt = replace(products, train=everyone, held_out=(), shares=shares)
    tiles, count = 2, len(everyone)
    maps = torch.arange(count * tiles).float().reshape(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    found = GoodMaps(("inp_former",), maps, torch.arange(count * tiles).float(), shares)
    shared, known = halves(dealt, found, tiles)
    assert not set(shared.train) & set(shared.held_out)
    assert set(shared.train) | set(shared.held_out) == set(everyone)
    for index, sample in enumerate(shared.held_out):
        place = everyone.index(sample)
        assert known.maps[index, :, 0, 0, 0].tolist() == [2 * place, 2 * place + 1]
        assert known.distance(index).tolist() == [2 * place, 2 * place + 1]


@torch.no_grad()
def test_with_maps_of_the_detector_itself_nothing_changes(run: Path, plates: Path) -> None:
    record = read_record(run)
    detector = read_model(run, record)
    samples = read_products([plates], record.training.seed).held_out[:6]
    maps, distances = [], []
    for sample in samples:
        groups = extract(detector, network_inputs(read_pixels(sample.path), SHAPE))
        maps.append(detector.branch_maps(groups))
        distances.append(detector.image_distance(groups))
    known_distances = None if distances[0] is None else torch.stack(distances)
    known = KnownMaps(torch.stack(maps), known_distances)
    _, expected = calibrate(detector, samples, SHAPE, lambda _: None)
    _, found = calibrate_known(detector, samples, known, SHAPE, lambda _: None)
    assert found.scores == pytest.approx(expected.scores, abs=1e-4)
    assert found.groups == expected.groups
    probe = place_of(detector.branches, "probe") if "probe" in detector.branches else None
    assert probe in (None, len(detector.branches.weight) - 1)
