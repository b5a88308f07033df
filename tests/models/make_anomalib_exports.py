"""Writes tests/models/anomalib: models trained and exported by anomalib, and what it says of them.

Run where anomalib 2.7 is installed, from the repository's root; nothing is downloaded:

    python -m venv VENV && VENV/bin/pip install anomalib==2.7.0 onnx onnxscript openvino
    VENV/bin/python -m tests.models.make_anomalib_exports

The backbone is three convolutions with random weights, so that files are small and no licence but
anomalib's (Apache-2.0), whose code traced the graphs, touches them.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import anomalib
import numpy as np
import onnx
import torch
from anomalib.data import Folder
from anomalib.deploy import OpenVINOInferencer
from anomalib.engine import Engine
from anomalib.models import Padim, Patchcore
from anomalib.post_processing import PostProcessor
from anomalib.pre_processing import PreProcessor
from PIL import Image
from torch import nn
from torchvision.transforms.v2 import CenterCrop, Compose, Normalize, Resize

from tests.support.anomalib_pictures import JUDGED, LEARNED, VALIDATED, plate

FOLDER = Path(__file__).parent / "anomalib"
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class Backbone(nn.Module):
    """Two layers of features at a quarter and an eighth of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, 2, 2), nn.ReLU())
        self.layer1 = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.layer2 = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU())

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.layer2(self.layer1(self.stem(pictures)))


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    layers = ["layer1", "layer2"]
    resize, norm = Resize((64, 64), antialias=True), Normalize(MEAN, STD)
    crop = Compose([Resize((72, 72), antialias=True), CenterCrop((64, 64)), norm])
    whole = Compose([resize, norm])
    padim = {"layers": layers, "pre_trained": False, "n_features": 8}
    patchcore = {"layers": layers, "pre_trained": False, "coreset_sampling_ratio": 0.02,
                 "num_neighbors": 3}  # fmt: skip
    jobs = {
        "padim": (Padim, padim, whole, None, None),
        "patchcore": (Patchcore, patchcore, crop, None, None),
        "padim_raw": (Padim, padim, whole, PostProcessor(enable_normalization=False), (64, 64)),
    }
    for name in sys.argv[1:] or jobs:
        with tempfile.TemporaryDirectory() as scratch:
            scores = train(name, draw(Path(scratch)), *jobs[name])
        about = {"anomalib": anomalib.__version__, "torch": torch.__version__, "scores": scores}
        (FOLDER / f"{name}.json").write_text(json.dumps(about, indent=1) + "\n")


def draw(folder: Path) -> Folder:
    """Draw pictures to train and validate on."""
    for name, seeds, defect in (
        ("good", LEARNED, None),
        ("good_test", VALIDATED, None),
        ("blot", VALIDATED, "blot"),
    ):
        (folder / name).mkdir()
        for seed in seeds:
            Image.fromarray(plate(seed, defect)).save(folder / name / f"{seed:03d}.png")
    return Folder(
        name="plate", root=folder, normal_dir="good", abnormal_dir="blot",
        normal_test_dir="good_test", num_workers=0, train_batch_size=8, eval_batch_size=8,
        val_split_mode="same_as_test",
    )  # fmt: skip


def train(
    name: str, data: Folder, kind: type, options: dict, transform: nn.Module,
    post: PostProcessor | None, input_size: tuple[int, int] | None,
) -> dict[str, float]:  # fmt: skip
    """Train, export and judge; returns the scores of anomalib's own inferencer."""
    torch.manual_seed(0)
    model = kind(
        backbone=Backbone().eval(), pre_processor=PreProcessor(transform),
        post_processor=post or True, evaluator=False, visualizer=False, **options,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as root:
        Engine(
            default_root_dir=root, accelerator="cpu", devices=1, logger=False,
            enable_progress_bar=False, enable_model_summary=False,
        ).fit(model=model, datamodule=data)  # fmt: skip
        path = model.to_onnx(root, model_file_name=name, input_size=input_size)
        exported = onnx.load(str(path))
        for node in exported.graph.node:
            del node.metadata_props[:]  # stack traces, with the paths of this computer
        onnx.save(exported, str(FOLDER / path.name))  # with its values inside
    exact = OpenVINOInferencer(FOLDER / f"{name}.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    batch = exact.model.input(0).partial_shape[0]
    count = batch.get_length() if batch.is_static else 1
    scores = {}
    for seed in JUDGED:
        for defect in (None, "blot", "rim"):
            picture = plate(seed, defect)
            if input_size is not None:
                picture = np.ascontiguousarray(picture[: input_size[0], : input_size[1]])
            # Its inferencer refuses one picture where the export has fixed the batch at two.
            pictures = picture if count == 1 else np.stack([picture] * count)
            score = float(np.ravel(exact.predict(pictures).pred_score)[0])
            scores[f"{seed} {defect or 'good'}"] = score
    print(name, "batch", batch, scores)
    return scores


if __name__ == "__main__":
    main()
