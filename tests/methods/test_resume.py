"""An unfinished run of any method goes on with the same data and options, and with no others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml

from edge.data.image_set import read_pixels
from edge.errors import TrainingError
from edge.methods.dapo.fit import DapoRequest
from edge.methods.dapo.training_settings import DapoTraining
from edge.methods.inp_former import request as inp_former
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.mavis.fit import MavisRequest
from edge.methods.mavis.training_settings import NegationTraining
from edge.methods.multiads.training_set import Request as MultiAdsRequest
from edge.methods.multiads.training_settings import AdapterTraining
from edge.methods.presets import find_preset
from edge.methods.promptmad import request as promptmad
from edge.methods.promptmad.training_settings import PromptTraining
from edge.methods.registry import find_method

SIZE = (96, 64)
QUICK = {"epochs": 2, "least_steps": 0, "labelled": 2}


class Stopped(Exception):
    pass


def no_bar(_stage: str, _total: int) -> Callable[[int], None]:
    return lambda _done: None


def stop_in(stage: str) -> Callable[[str, int], Callable[[int], None]]:
    """Progress that ends a training as soon as a stage has begun."""

    def open_bar(name: str, _total: int) -> Callable[[int], None]:
        def advance(_done: int) -> None:
            if name == stage:
                raise Stopped

        return advance

    return open_bar


def request_of(method: str, data: Path) -> Any:
    lite = find_preset("lite")
    if method == "inp-former":
        training = TrainingSettings(steps=3, tokens=0, batch=4, probe_defects=14)
        return inp_former.Request(data=data, preset=lite, size_wh=SIZE, training=training)
    if method == "promptmad":
        prompt = PromptTraining(reconstruction_steps=6, inputs=24)
        return promptmad.Request(data=data, preset=lite, size_wh=SIZE, training=prompt)
    if method == "mavis":
        return MavisRequest((data,), size_wh=SIZE, training=NegationTraining(**QUICK))
    if method == "dapo":
        return DapoRequest((data,), size_wh=SIZE, training=DapoTraining(**QUICK))
    return MultiAdsRequest((data,), size_wh=SIZE, training=AdapterTraining(**QUICK))


Unfinished = Callable[[str], tuple[Any, Path]]


@pytest.fixture(scope="module")
def unfinished(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> Unfinished:
    """Request and folder of a method's unfinished run, for tests that do not go on with it."""
    made: dict[str, tuple[Any, Path]] = {}

    def make(method: str) -> tuple[Any, Path]:
        if method not in made:
            folder = tmp_path_factory.mktemp("unfinished") / "run"
            made[method] = stopped(method, plates, folder), folder
        return made[method]

    return make


def stopped(method: str, data: Path, folder: Path) -> Any:
    """Leave an unfinished run in `folder`; return the request that began it."""
    stage = "reconstruction" if method == "promptmad" else "training"
    request = request_of(method, data)
    with pytest.raises(Stopped):
        find_method(method).fit(request, folder, stop_in(stage))
    assert not (folder / "model.safetensors").exists()
    return request


def changed_copy(plates: Path, folder: Path) -> Path:
    """The same names and counts, but one good picture shows something else."""
    data = folder / plates.name
    shutil.copytree(plates, data)
    picture = sorted((data / "train" / "good").iterdir())[0]
    cv2.imwrite(str(picture), 255 - read_pixels(picture))
    return data


METHODS = ("inp-former", "multiads", "mavis", "dapo", "promptmad")


@pytest.mark.parametrize("method", METHODS)
def test_an_unfinished_run_refuses_other_data_and_options(
    method: str, plates: Path, unfinished: Unfinished, tmp_path: Path
) -> None:
    request, run = unfinished(method)
    fit = find_method(method).fit
    stored = (run / "run.yaml").read_bytes()
    other = changed_copy(plates, tmp_path / "other")
    with pytest.raises(TrainingError, match=r"other options: data.pictures_sha256 is another"):
        fit(request_of(method, other), run, no_bar)
    longer = replace(request, size_wh=(128, 96))
    with pytest.raises(TrainingError, match=r"model.size_wh is 96, 64 there, 128, 96 here"):
        fit(longer, run, no_bar)
    seed = replace(request, training=request.training.model_copy(update={"batch": 5}))
    with pytest.raises(TrainingError, match=r"training.batch is \d+ there, 5 here; repeat those"):
        fit(seed, run, no_bar)
    assert (run / "run.yaml").read_bytes() == stored, "a refusal changes nothing"


def test_the_same_pictures_elsewhere_are_the_same_data(plates: Path, tmp_path: Path) -> None:
    stopped("multiads", plates, tmp_path / "run")
    shutil.copytree(plates, tmp_path / "moved" / plates.name)
    request = request_of("multiads", tmp_path / "moved" / plates.name)
    find_method("multiads").fit(request, tmp_path / "run", no_bar)
    assert (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"branches": False}, "model.branches.memory is 512 there, 0 here"),
        ({"refine": True}, "model.refiner is "),
        ({"head": (8, 4)}, "model.inp_former.head is none there, 8, 4 here"),
        ({"tiles_wh": (2, 1)}, "tiles_wh is 1, 1 there, 2, 1 here"),
        ({"weights": "random"}, "weights is package there, random here"),
    ],
)
def test_an_unfinished_inp_former_run_refuses_other_flags(
    changes: dict[str, Any], named: str, unfinished: Unfinished
) -> None:
    request, run = unfinished("inp-former")
    with pytest.raises(TrainingError, match="holds an unfinished run with other options") as error:
        find_method("inp-former").fit(replace(request, **changes), run, no_bar)
    assert named in str(error.value)


def test_a_run_begun_with_refine_goes_on_only_with_it(plates: Path, tmp_path: Path) -> None:
    training = TrainingSettings(steps=3, tokens=0, batch=4, probe_defects=14)
    request = inp_former.Request(
        data=plates, preset=find_preset("lite"), size_wh=SIZE, training=training, refine=True
    )
    with pytest.raises(Stopped):
        find_method("inp-former").fit(request, tmp_path / "run", stop_in("training"))
    with pytest.raises(TrainingError, match=r"model.refiner is another|model.refiner is .* none h"):
        find_method("inp-former").fit(replace(request, refine=False), tmp_path / "run", no_bar)


def test_a_run_of_another_method_is_refused(plates: Path, unfinished: Unfinished) -> None:
    _, run = unfinished("multiads")
    with pytest.raises(TrainingError, match=r"model.method is multiads there, inp-former here"):
        find_method("inp-former").fit(request_of("inp-former", plates), run, no_bar)


def test_auto_and_a_size_by_hand_are_different_options(
    plates: Path, unfinished: Unfinished
) -> None:
    request, run = unfinished("inp-former")
    large = inp_former.Request(
        data=plates, preset=replace(request.preset, sides=(64, 96)), training=request.training
    )
    with pytest.raises(TrainingError, match=r"model.size_wh is 96x64 there, auto here"):
        find_method("inp-former").fit(large, run, no_bar)


@pytest.mark.slow
def test_size_trials_are_not_repeated(plates: Path, tmp_path: Path) -> None:
    training = TrainingSettings(steps=3, tokens=0, batch=4, probe_defects=14)
    preset = replace(find_preset("lite"), sides=(64, 96))
    request = inp_former.Request(data=plates, preset=preset, training=training)
    with pytest.raises(Stopped):
        find_method("inp-former").fit(request, tmp_path / "run", stop_in("training"))
    opened: list[str] = []

    def watching(stage: str, _total: int) -> Callable[[int], None]:
        opened.append(stage)
        return lambda _done: None

    record = find_method("inp-former").fit(request, tmp_path / "run", watching)
    assert "network size" not in opened
    assert len(record.size_trials) == 2


def test_a_resumed_inp_former_run_is_the_uninterrupted_one(plates: Path, tmp_path: Path) -> None:
    request = request_of("inp-former", plates)
    fit = find_method("inp-former").fit
    fit(request, tmp_path / "whole", no_bar)
    for stage in ("training", "calibration"):
        with pytest.raises(Stopped):
            fit(request, tmp_path / "cut", stop_in(stage))
    fit(request, tmp_path / "cut", no_bar)
    for name in ("model.safetensors", "calibration.json"):
        whole, cut = (tmp_path / run / name for run in ("whole", "cut"))
        assert whole.read_bytes() == cut.read_bytes(), name


def test_a_run_begun_before_digests_goes_on(plates: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    request = stopped("inp-former", plates, run)
    record = yaml.safe_load((run / "run.yaml").read_text())
    del record["data"]["pictures_sha256"]
    record["created_by"] = "edge-inspection 0.0.1"
    (run / "run.yaml").write_text(yaml.safe_dump(record))
    longer = replace(request, training=request.training.model_copy(update={"steps": 4}))
    with pytest.raises(TrainingError, match=r"training.steps is 3 there, 4 here"):
        find_method("inp-former").fit(longer, run, no_bar)
    find_method("inp-former").fit(request, run, no_bar)
    assert (run / "model.safetensors").exists()
