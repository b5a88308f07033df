"""Suspicious pictures among the good: found by tokens of other parts, listed, and left out."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from edge.data.image_set import Sample
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.good_pictures import Good
from edge.methods.inp_former.settings import BranchSettings
from edge.methods.inp_former.trimming import (
    FENCE,
    Suspicion,
    deviations,
    strangeness,
    suspicion,
    write_suspicious,
)
from edge.methods.presets import find_preset, model_settings
from edge.networks.weights import PACKAGE
from edge.training.feature_cache import FeatureCache
from edge.training.run_folder import SUSPICIOUS

PICTURES = 60
POSITIONS = 24
# Good pictures of PICTURES that may lie beyond the fence by chance.
HARDLY_ANY = 3


@pytest.fixture(scope="module")
def detector() -> Detector:
    """Lite on a 6 x 4 grid with random weights."""
    torch.manual_seed(0)
    settings = model_settings(find_preset("lite"), (96, 64), PACKAGE)
    branches = BranchSettings(memory=16, position_dims=0, image_dims=0)
    return Detector(settings.model_copy(update={"branches": branches})).eval()


def features(detector: Detector, defective: dict[int, int]) -> FeatureCache:
    """Pictures that vary a little; in `defective` ones the cells of a defect look otherwise."""
    generator = torch.Generator().manual_seed(1)
    channels = list(detector.features.channels)
    places = torch.randn(POSITIONS, sum(channels), generator=generator)
    noise = torch.randn(PICTURES, *places.shape, generator=generator)
    tokens = places + 0.3 * noise
    kinds = torch.randn(PICTURES, sum(channels), generator=generator)
    for picture, kind in defective.items():
        tokens[picture, 3:6] = kinds[kind] + 0.3 * noise[picture, 3:6]
    return FeatureCache([part.half().numpy() for part in tokens.split(channels, -1)])


def samples(parts: int = PICTURES) -> list[Sample]:
    return [Sample(Path(f"{n:02d}.png"), "good", f"part {n % parts}") for n in range(PICTURES)]


def test_defects_of_a_fifth_of_the_parts_are_found(detector: Detector) -> None:
    defective = {place: place for place in range(0, PICTURES, 5)}
    found = suspicion(detector, features(detector, defective), samples(), seed=0)
    assert set(found.suspects[: len(defective)]) == set(defective), "the defects come first"
    assert len(found.suspects) - len(defective) <= HARDLY_ANY
    least = [float(found.deviations[place]) for place in found.suspects]
    assert least == sorted(least, reverse=True)
    assert least[-1] > FENCE


def test_a_defect_that_two_other_parts_have_too_is_found(detector: Detector) -> None:
    found = suspicion(detector, features(detector, {4: 0, 20: 0, 40: 0}), samples(), seed=0)
    assert set(found.suspects[:3]) == {4, 20, 40}
    assert found.deviations[[4, 20, 40]].min() > 10, "they speak for each other"


def test_further_pictures_of_the_same_part_do_not_make_a_defect_common(
    detector: Detector,
) -> None:
    """Parts have five pictures each, and all five show its defect."""
    defective = {place: 0 for place in range(PICTURES) if place % 12 == 7}
    found = suspicion(detector, features(detector, defective), samples(parts=12), seed=0)
    assert set(found.suspects[:5]) == set(defective)
    assert found.deviations[list(defective)].min() > 10, "one part speaks for itself"


def test_of_good_pictures_alone_hardly_any_is_suspicious(detector: Detector) -> None:
    found = suspicion(detector, features(detector, {}), samples(), seed=0)
    assert len(found.suspects) <= HARDLY_ANY


def test_few_parts_have_no_typical_one(detector: Detector) -> None:
    found = suspicion(detector, features(detector, {4: 0}), samples(parts=11), seed=0)
    assert found.suspects == ()


def test_strangeness_is_the_distance_to_the_third_other_part() -> None:
    # One token each on a line; the first two pictures show one part.
    tokens = torch.tensor([0.0, 0.5, 1.0, 3.0, 7.0])[:, None, None]
    parts = torch.tensor([0, 0, 1, 2, 3])
    found = strangeness(tokens, parts, top=1, seed=0)
    # From 0: parts 1, 2, 3 at 1, 3, 7. From 7: part 2 at 4, part 1 at 6, part 0 at 6.5.
    assert found.tolist() == pytest.approx([7.0, 6.5, 6.0, 4.0, 6.5])
    # With two other parts the second counts; from 3, part 0 is at 2.5 by its second picture.
    found = strangeness(tokens[:4], parts[:4], top=1, seed=0)
    assert found.tolist() == pytest.approx([3.0, 2.5, 2.0, 2.5])


def test_deviations_are_those_of_the_lower_half() -> None:
    # Logarithms -1, 0, 1, 2, 100: the median is 1, the lower quartile 0; the outlier counts for
    # nothing.
    levels = torch.tensor([-1.0, 0.0, 1.0, 2.0, 4.0])
    found = deviations(levels.exp())
    assert found.tolist() == pytest.approx([0.6745 * x for x in (-2, -1, 0, 1, 3)], abs=1e-4)


def test_the_file_lists_suspects_highest_first(tmp_path: Path) -> None:
    values = np.zeros(PICTURES)
    values[[3, 8]] = 5.25, 9.5
    write_suspicious(tmp_path, samples(), Suspicion(values, (8, 3)), is_trimmed=True)
    with (tmp_path / SUSPICIOUS).open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["file", "part", "deviations", "learned"],
        ["08.png", "part 8", "9.50", "no"],
        ["03.png", "part 3", "5.25", "no"],
    ]
    write_suspicious(tmp_path, samples(), Suspicion(values, ()), is_trimmed=True)
    assert not (tmp_path / SUSPICIOUS).exists()


def test_trimmed_pictures_are_judged_and_not_learned() -> None:
    from edge.data.frames import InputShape

    cache = FeatureCache([np.arange(6, dtype=np.float16).reshape(6, 1, 1)])
    good = Good(cache, samples()[:6], np.array([0, 0, 1, 1, 2, 2]), InputShape((32, 32)), (3,))
    assert good.learned.tolist() == [0, 1, 2, 4, 5]
    assert good.with_shares([0], left_out=True).tolist() == [2, 4, 5]
    assert good.with_shares([1]).tolist() == [2, 3]
    assert good.of(good.learned).batch(range(5))[0].flatten().tolist() == [0, 1, 2, 4, 5]
