"""Models that anomalib exported (tests/models/anomalib) with frames, and what it says of these."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge.picture_file import encode_picture
from tests.support.anomalib_pictures import VALIDATED, plate
from tests.support.bundles import ROOT

MODELS = ROOT / "tests" / "models" / "anomalib"
# The fixed export takes pictures of 64 x 64: the corner of a plate.
FRAMES = {"padim": (80, 96), "patchcore": (80, 96), "padim_raw": (64, 64)}
NAMES = tuple(FRAMES)
EXPECTED = {name: json.loads((MODELS / f"{name}.json").read_text())["scores"] for name in NAMES}


def quiet(stage: str, total: int) -> Callable[[int], None]:
    return lambda done: None


def frame(seed: int, defect: str | None, name: str) -> np.ndarray:
    """A picture as a camera gives it, (H, W, 3) uint8 BGR."""
    height, width = FRAMES[name]
    return np.ascontiguousarray(plate(seed, defect)[:height, :width, ::-1])


def write_good(folder: Path, name: str) -> Path:
    """Write good pictures that the model has not learned from."""
    folder.mkdir(parents=True)
    for seed in (*VALIDATED, *range(300, 312)):
        (folder / f"{seed}.png").write_bytes(encode_picture(frame(seed, None, name)))
    return folder


def judged_cases(name: str) -> list[tuple[str, np.ndarray, float]]:
    """Frames with a name and the score by anomalib's own inferencer."""
    cases = []
    for case, expected in EXPECTED[name].items():
        seed, defect = case.split()
        cases.append((case, frame(int(seed), None if defect == "good" else defect, name), expected))
    return cases


def write_ir(name: str, folder: Path, *, in_half: bool = False) -> Path:
    """Write an export as an OpenVINO IR, by the calls that anomalib makes; `in_half`: values."""
    import openvino

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.xml"
    model = openvino.convert_model(MODELS / f"{name}.onnx")
    openvino.save_model(model, path, compress_to_fp16=in_half)
    return path
