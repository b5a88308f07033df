"""Weights of earlier versions are read under the names that they have now."""

from __future__ import annotations

import pytest
import torch

from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.earlier_weights import with_new_names
from edge.methods.inp_former.settings import BranchSettings, ModelSettings
from edge.methods.presets import find_preset, model_settings


def settings() -> ModelSettings:
    """All branches, head and pre-label map: every tensor that has had another name."""
    lite = model_settings(find_preset("lite"), (96, 64), "random")
    branches = BranchSettings(memory=4, position_dims=2, image_dims=3, probe=2, prelabel_probe=1)
    return lite.model_copy(
        update={
            "branches": branches,
            "map": lite.map.model_copy(update={"keep_prelabel_map": True}),
            "inp_former": lite.inp_former.model_copy(update={"head": (8, 4)}),
        }
    )


def earlier(detector: Detector) -> dict[str, torch.Tensor]:
    """The detector's weights as an earlier version wrote them, spelled out by hand."""
    renamed = {
        "branches.head.scorer.": "head.",
        "branches.memory.scorer.": "memory.",
        "branches.position.scorer.": "position.",
        "branches.prelabel_probe.scorer.": "probe_before.",
        "branches.probe.scorer.": "probe.",
        "image.rescale": "image_line",
        "prelabel_rescale": "before_line",
    }
    found = {}
    for name, value in detector.state_dict().items():
        if name.startswith("branches.") and ".scorer." not in name:
            continue
        old = next((new for new in renamed if name.startswith(new)), None)
        found[name if old is None else name.replace(old, renamed[old])] = value
    return found | {
        "fuse.weight": torch.arange(9.0),
        "fuse.offset": 10 + torch.arange(9.0),
        "fuse.scale": 20 + torch.arange(9.0),
        "before_weight": 30 + torch.arange(9.0),
    }


@torch.no_grad()
def test_a_file_of_an_earlier_version_fills_every_tensor() -> None:
    torch.manual_seed(0)
    source, target = Detector(settings()), Detector(settings())
    for value in source.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 1)
    target.load_state_dict(earlier(source))
    for name, value in target.state_dict().items():
        if not name.startswith("branches.") or ".scorer." in name:
            assert torch.equal(value, source.state_dict()[name]), name
    branches = target.branches
    assert branches.weight.tolist() == list(range(9))
    assert branches["inp_former"].offset.tolist() == [10, 11, 12, 13]
    assert branches["head"].scale.tolist() == [24]
    assert branches["probe"].prelabel_weight.tolist() == [38]


def test_weights_of_today_stay_as_they_are() -> None:
    state = Detector(settings()).state_dict()
    found = with_new_names(state, {"inp_former": 4})
    assert list(found) == list(state)
    assert all(found[name] is value for name, value in state.items())


def test_a_vector_that_does_not_fit_the_branches_is_refused() -> None:
    detector = Detector(settings())
    state = earlier(detector) | {"fuse.weight": torch.zeros(5)}
    with pytest.raises(RuntimeError, match=r"fuse\.weight"):
        detector.load_state_dict(state)
