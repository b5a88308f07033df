"""Settings of a model, and the keys that earlier versions had for them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import yaml

from edge.config.reader import read_settings
from edge.errors import ConfigError
from edge.methods.inp_former.settings import BranchSettings, MapSettings, ModelSettings

EARLIER = """
method: inp-former
size_wh: [160, 128]
backbone: {name: efficientnet_lite0, taps: [2, 4, 5, 6], stride: 16}
inp_former: {width: 96, depth: 4, heads: 4, mlp_ratio: 2, prototypes: 6, norm_eps: 1.0e-06,
  judge_by: reconstruction, head: null, centring: 0.7}
branches: {memory: 512, position_dims: 48, image_dims: 0, probe: 3, probe_before: 1,
  memory_around: 3, probe_around: 7}
map: {chain: calibrated, stride: 2, top_ratio: 0.01, score_from: grid, beyond_rare: 0.1,
  score_beyond_rare: 0.5, before: true, contrast: 0.3}
types: []
text_width: 0
refiner: null
"""


def read(folder: Path, text: str) -> ModelSettings:
    (folder / "model.yaml").write_text(text)
    return read_settings(folder / "model.yaml", ModelSettings)


def test_keys_of_earlier_versions_are_read_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = read(tmp_path, EARLIER)
    assert found.inp_former.map_centring == 0.7
    assert found.map == MapSettings(
        score_from="grid", tail_slope=0.1, score_tail_slope=0.5, keep_prelabel_map=True,
        local_contrast=0.3,
    )  # fmt: skip
    assert found.branches == BranchSettings(
        memory=512, position_dims=48, probe=3, prelabel_probe=1, memory_neighbourhood=3,
        probe_neighbourhood=7,
    )  # fmt: skip
    assert len(caplog.records) == 1
    assert "map.beyond_rare is now tail_slope" in caplog.text
    assert "branches.probe_before is now prelabel_probe" in caplog.text


def test_what_is_written_has_the_new_keys_and_is_read_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = read(tmp_path, EARLIER)
    caplog.clear()
    again = read(tmp_path, yaml.safe_dump(found.model_dump(mode="json")))
    assert again == found
    assert not caplog.records


def test_a_run_that_lacks_keys_has_the_values_from_before_they_existed(tmp_path: Path) -> None:
    data = yaml.safe_load(EARLIER)
    data["branches"], data["map"] = {"memory": 9}, {"stride": 2}
    found = read(tmp_path, yaml.safe_dump(data))
    assert (found.branches.memory_neighbourhood, found.branches.probe_neighbourhood) == (1, 1)
    assert (found.map.tail_slope, found.map.local_contrast) == (1, 0)
    assert found.map.keep_prelabel_map is False


def test_an_old_key_beside_the_new_one_is_refused(tmp_path: Path) -> None:
    text = EARLIER.replace("contrast: 0.3", "contrast: 0.3, local_contrast: 0.3")
    with pytest.raises(ConfigError, match=r"map\.contrast: unknown key"):
        read(tmp_path, text)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="probe_neighbourhood: expected an odd number of cells"):
        BranchSettings(probe_neighbourhood=4)
    with pytest.raises(ValueError, match="local_contrast: expected chain: calibrated"):
        MapSettings(local_contrast=0.3, chain="published")
    with pytest.raises(ValueError, match="keep_prelabel_map: expected chain: calibrated"):
        MapSettings(keep_prelabel_map=True, chain="published")
    with pytest.raises(ValueError, match="score_tail_slope: expected score_from: grid"):
        MapSettings(score_tail_slope=0.5)
